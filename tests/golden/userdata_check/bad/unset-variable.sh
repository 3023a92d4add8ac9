#!/bin/bash
umask 077
echo "Token = $TOKEN" >/etc/osg-worker.conf
echo 'Start = TARGET.ProjectName == "TG-PHY123456"' >>/etc/osg-worker.conf
