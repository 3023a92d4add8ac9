#!/bin/bash
umask 077
cat >/etc/osg-worker.conf <<'EOF'
WorkerGroupName = My Workers
Token = eyJhbGciOiAiSFMyNTYiLCAia2lkIjogIlBPT0wifQ.eyJpc3MiOiAiZmxvY2sub3BlbnNjaWVuY2VncmlkLm9yZyIsICJzdWIiOiAid29ya2VyQGV4YW1wbGUiLCAianRpIjogIjAxMjM0NTY3ODlhYmNkZWYiLCAiaWF0IjogMTc5OTk5OTkwMCwgImV4cCI6IDE4MDc3NzYwMDAsICJzY29wZSI6ICJjb25kb3I6L1JFQUQifQ.c2lnbmF0dXJl
Start = TARGET.ProjectName == "TG-PHY123456"
EOF
