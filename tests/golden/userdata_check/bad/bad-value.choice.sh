#!/bin/bash
# Says whose jobs this worker runs. It holds a token: whoever reads it can join the pool.
set -e
umask 077
rm -f /etc/osg-worker.conf.new
cat >/etc/osg-worker.conf.new <<'EOF'
WorkerGroupName = My Workers
Token = eyJhbGciOiAiSFMyNTYiLCAia2lkIjogIlBPT0wifQ.eyJpc3MiOiAiZmxvY2sub3BlbnNjaWVuY2VncmlkLm9yZyIsICJzdWIiOiAid29ya2VyQGV4YW1wbGUiLCAianRpIjogIjAxMjM0NTY3ODlhYmNkZWYiLCAiaWF0IjogMTc5OTk5OTkwMCwgImV4cCI6IDE4OTQ2MDgwMDAsICJzY29wZSI6ICJjb25kb3I6L0FEVkVSVElTRV9TVEFSVEQgY29uZG9yOi9BRFZFUlRJU0VfTUFTVEVSIGNvbmRvcjovUkVBRCJ9.c2lnbmF0dXJl
Start = TARGET.ProjectName == "TG-PHY123456"
OnIdle = reboot
EOF
mv -fT /etc/osg-worker.conf.new /etc/osg-worker.conf
