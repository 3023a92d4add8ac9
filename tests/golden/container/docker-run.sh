docker run -d \
           --net=host \
           --name=prominence-worker \
           --privileged=true \
           -e PROMINENCE_CLOUD=$cloud \
           -e PROMINENCE_REGION=$region \
           -e PROMINENCE_NODE_GROUP=$node_group \
           -e PROMINENCE_SCHEDD_NAME=$schedd_name \
           -e PROMINENCE_JOB_ID=$job_id \
           -e PROMINENCE_COLLECTOR=$condor_host \
           -e PROMINENCE_IDLE_TIMEOUT=$idle_timeout \
           -v /var/log/condor:/var/log/condor \
           -v /opt/prominence:/home \
           -v ${PWD}/token.jwt:/etc/condor/tokens.d/token.jwt \
           eoscprominence/worker:latest
