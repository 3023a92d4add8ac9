#!/bin/bash
# Says whose jobs this worker runs.
set -e
umask 077
rm -f /etc/osg-worker.conf.new
cat >/etc/osg-worker.conf.new <<'EOF'
WorkerGroupName = My Workers
TokenCommand = /usr/bin/vault read -field 'my token'
Start = TARGET.ProjectName == "TG-PHY123456"
IdleTimeout = 1200
EOF
mv -fT /etc/osg-worker.conf.new /etc/osg-worker.conf
