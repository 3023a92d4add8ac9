#!/bin/bash
# Writes the settings of this worker. This file contains a token: anyone who reads it can join the pool.
set -e
umask 077
rm -f /etc/osg-worker.conf.new
cat >/etc/osg-worker.conf.new <<'EOF'
WorkerGroupName = My Test Workers
Token = aaabbb...
Start = TARGET.ProjectName == "TG-NNNNNN"
GpuJobsOnly = no
CentralManager = cm.example.org:9618
CCBAddress = ccb-1.example.org:9618?sock=collector1-10,ccb-2.example.org
TrustDomain = pool.example.org
SiteName = My Site
ResourceName = my-resource
Country = US
PoolGuards = no
ConfigurationTimeout = 60
JoinTimeout = 0
IdleTimeout = 1200
MaxLifetime = 172800
DrainTimeout = 600
WatchdogTimeout = 31622400
OnIdle = stop
ServerCredential = eyJhdXRoX3VybCI6ICJodHRwczovL2tleXN0b25lIn0=
LoginGrace = 0
MetadataGuard = no
ExecuteDisk = no
EOF
mv -fT /etc/osg-worker.conf.new /etc/osg-worker.conf
