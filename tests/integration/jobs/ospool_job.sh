#!/bin/sh
# Says where it runs and what is there, with a shell and `id` only, as a small image has no more.
[ -e /in-the-image ] && echo "in the image" || echo "on the machine"
[ -e /etc/osg-worker.conf ] || echo "no machine's files"
echo "uid $(id -u)"
echo "in $PWD, at home in $HOME, scratch $_CONDOR_SCRATCH_DIR"
read -r line </cvmfs/singularity.opensciencegrid.org/hello && echo "cvmfs: $line"
(echo x >/cvmfs/file) 2>/dev/null || echo "cvmfs is not to be written"
if [ -e numbers.txt ]; then read -r line <numbers.txt; echo "numbers: $line"; fi
if [ -n "$_CONDOR_CREDS" ]; then read -r line <"$_CONDOR_CREDS/scitokens.use"; echo "token: $line"; fi
echo x >/tmp/file && echo "writes"
echo "made of $line" >result.txt
if [ "$1" = keep ]; then exec sleep 1000; fi
