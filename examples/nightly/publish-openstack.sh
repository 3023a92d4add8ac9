#!/usr/bin/env bash
# Upload the images of RESULTS/new to OpenStack, and remove those that were uploaded:
#
#     publish-openstack.sh [RESULTS]               (default: nightly)
#
# The openstack client reads the cloud from OS_CLOUD and clouds.yaml. An image that was not uploaded remains in
# RESULTS/new for the next night.
set -euo pipefail

results=${1:-nightly}
status=0
for manifest in "$results"/new/*.json; do
    [ -e "$manifest" ] || continue
    name=$(basename "$manifest" .json)
    image=$results/new/$name.qcow2
    if openstack image create --disk-format qcow2 --container-format bare --file "$image" \
        "$name-$(date -u -r "$manifest" +%Y%m%d)"; then
        rm -- "$image" "$manifest"
    else
        status=1
    fi
done
exit "$status"
