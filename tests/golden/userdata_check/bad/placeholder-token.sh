#!/bin/bash
umask 077
cat >/etc/osg-worker.conf <<'EOF'
WorkerGroupName = My Workers
Token = aaabbb...
Start = TARGET.ProjectName == "TG-PHY123456"
EOF
