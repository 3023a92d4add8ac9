#!/bin/sh
# In place of mpiexec, which the small image does not have: as many processes as there are processors asked for.
[ -e /in-the-image ] && echo "in the image" || echo "on the machine"
./hello 0 &
./hello 1 &
wait
