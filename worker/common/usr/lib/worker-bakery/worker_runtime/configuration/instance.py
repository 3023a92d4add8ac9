"""What a worker tells of its machine: the cloud's instance, and the image it came from."""

import socket
import zlib
from typing import Any, Dict, Mapping

from worker_runtime.configuration.values import problem_with
from worker_runtime.system.files import read_json

# cloud-init's, for everybody to read and without what is secret.
INSTANCE = "/run/cloud-init/instance-data.json"
# Written as the last step of a bake.
IMAGE = "/usr/lib/worker-bakery/image.json"
_MACHINE_ID = "/etc/machine-id"  # of a container, there may be none


def machine_number() -> int:
    """A number that is this machine's own and stays, to choose among equals by."""
    try:
        with open(_MACHINE_ID, encoding="ascii") as file:
            own = file.read().strip()
    except (OSError, UnicodeDecodeError):
        own = ""
    return zlib.crc32((own or socket.gethostname()).encode("utf-8", "replace"))


def attributes() -> Dict[str, str]:
    """ClassAd attributes, all of them strings. (Names as HTCondor's CommonCloudAttributes has them.)"""
    return representable({**cloud_attributes(read_json(INSTANCE)), **image_attributes(read_json(IMAGE))})


def cloud_attributes(data: Mapping[str, Any]) -> Dict[str, str]:
    """From cloud-init's instance data, whatever cloud and version it is of."""
    common = data.get("v1") or {}
    return {
        "CloudProvider": _first(common, "cloud_name", "cloud-name"),
        "CloudPlatform": _first(common, "platform"),
        "CloudInstanceID": _first(common, "instance_id", "instance-id"),
        "CloudRegion": _first(common, "region"),
        "CloudZone": _first(common, "availability_zone", "availability-zone"),
        "CloudVMType": _instance_type(data),
    }


def image_attributes(data: Mapping[str, Any]) -> Dict[str, str]:
    return {
        "WorkerImage": _first(data, "image"),
        "WorkerBase": _first(data, "base"),
        "WorkerBakeryVersion": _first(data, "version"),
    }


def representable(found: Mapping[str, str]) -> Dict[str, str]:
    """Only what is known, and what HTCondor's configuration can hold."""
    return {
        name: value
        for name, value in found.items()
        if value and len(value) <= 255 and problem_with("string", value) is None
    }


def _first(data: Mapping[str, Any], *names: str) -> str:
    values = (data.get(name) for name in names)
    # "unknown" is cloud-init's word for a machine that is in no cloud it knows.
    return next((value for value in values if isinstance(value, str) and value != "unknown"), "")


def _instance_type(data: Mapping[str, Any]) -> str:
    """Each data source keeps it elsewhere; cloud-init has no common name for it."""
    source = data.get("ds") or {}
    places = (source.get("meta_data"), (source.get("ec2_metadata")), source.get("metadata"))
    for place in places:
        if isinstance(place, dict):
            for inner in (place, place.get("instance"), place.get("compute")):
                found = _first(inner or {}, "instance-type", "instance_type", "machine-type", "vmSize")
                if found:
                    return found.rpartition("/")[2]  # Google's is a path
    return ""
