#!/bin/bash
# Says whose jobs this worker runs. It holds a token: whoever reads it can join the pool.
set -e
umask 077
rm -f /etc/osg-worker.conf.new
cat >/etc/osg-worker.conf.new <<'EOF'
WorkerGroupName = My Test Workers
Token = aaabbb...
Start = TARGET.ProjectName == "TG-NNNNNN"
CentralManager = cm.example.org:9618
IdleTimeout = 1200
EOF
mv -fT /etc/osg-worker.conf.new /etc/osg-worker.conf
