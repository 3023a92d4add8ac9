#!/bin/bash
# Says whose jobs this worker runs. It holds a token: whoever reads it can join the pool.
set -e
umask 077
cat >/etc/osg-worker.conf <<'EOF'
WorkerGroupName = My Test Workers
Token = aaabbb...
Start = TARGET.ProjectName == "TG-NNNNNN"
CentralManager = cm.example.org:9618
IdleTimeout = 1200
EOF
chmod 600 /etc/osg-worker.conf
