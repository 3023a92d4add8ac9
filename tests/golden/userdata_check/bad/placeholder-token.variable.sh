#!/bin/bash
set -e
umask 077
TOKEN=aaabbb...
PROJECT=TG-PHY123456
cat >/etc/osg-worker.conf <<EOF
WorkerGroupName = My Workers
Token = $TOKEN
Start = TARGET.ProjectName == "${PROJECT}"
EOF
