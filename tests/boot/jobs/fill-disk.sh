#!/bin/sh
# A job that asked for 10 MiB of disk and writes for as long as there is any, in files of 64 MiB.
# When none is left it stays, and takes what becomes free.

PATH=/usr/bin:/bin
echo started
end=$(($(date +%s) + 240))
number=0
while [ "$(date +%s)" -lt "$end" ]; do
    dd if=/dev/zero of="fill.$number" bs=1M count=64 2>/dev/null || sleep 0.2
    number=$((number + 1))
done
echo 'nobody stopped me'
