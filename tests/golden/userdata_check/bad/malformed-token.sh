#!/bin/bash
umask 077
cat >/etc/osg-worker.conf <<'EOF'
WorkerGroupName = My Workers
Token = eyJhbGciOiAiSFMyNTYiLCAia2lkIjogIlBPT0wifQ.eyJpc3MiOiAiZmxvY
Start = TARGET.ProjectName == "TG-PHY123456"
EOF
