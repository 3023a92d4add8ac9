#!/bin/sh
# Where does this job run, as whom, and can it write to its own /tmp?
id -u
[ -e /in-the-image ] && echo "in the image"
[ -e /etc/osg-worker.conf ] || echo "not on the machine"
echo x >/tmp/file && echo "writes"
