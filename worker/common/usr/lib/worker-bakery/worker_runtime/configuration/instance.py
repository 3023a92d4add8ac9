"""Describes the cloud instance and the image of this worker as ClassAd attributes."""

import os
import socket
import zlib
from typing import Any, Dict, Mapping

from worker_runtime.configuration.values import problem_with
from worker_runtime.system.files import read_json

# Written by cloud-init; readable by everybody, without secrets.
INSTANCE = "/run/cloud-init/instance-data.json"
# Written by the last step of a bake.
IMAGE = "/usr/lib/worker-bakery/image.json"
_NO_DATE = 1000000000  # a file of that time, in 2001, has lost its own
_MACHINE_ID = "/etc/machine-id"  # may be missing in a container


def machine_number() -> int:
    """A constant number of this machine, which selects one of several equal servers."""
    try:
        with open(_MACHINE_ID, encoding="ascii") as file:
            own = file.read().strip()
    except (OSError, UnicodeDecodeError):
        own = ""
    return zlib.crc32((own or socket.gethostname()).encode("utf-8", "replace"))


def attributes() -> Dict[str, str]:
    """Attribute -> string, not quoted. (The names are those of HTCondor's CommonCloudAttributes.)"""
    return representable({**cloud_attributes(read_json(INSTANCE)), **image_attributes(read_json(IMAGE))})


def cloud_attributes(data: Mapping[str, Any]) -> Dict[str, str]:
    """From cloud-init's instance data, of any cloud and version."""
    common = data.get("v1") or {}
    return {
        "CloudProvider": _first(common, "cloud_name", "cloud-name"),
        "CloudPlatform": _first(common, "platform"),
        "CloudInstanceID": _first(common, "instance_id", "instance-id"),
        "CloudRegion": _first(common, "region"),
        "CloudZone": _first(common, "availability_zone", "availability-zone"),
        "CloudVMType": _instance_type(data),
        "TardisDroneUuid": _drone(data),
    }


def image_attributes(data: Mapping[str, Any]) -> Dict[str, str]:
    """From image.json, which the bake writes."""
    return {
        "WorkerImage": _first(data, "image"),
        "WorkerImageID": _first(data, "image_id"),
        "WorkerImageVersion": _first(data, "image_version"),
        "WorkerBase": _first(data, "base"),
        "WorkerBakeryVersion": _first(data, "version"),
    }


def image_date(path: str = IMAGE) -> int:
    """The date of the image, in seconds since 1970; 0: unknown.

    It is the time of image.json, which the bake writes last: the time of the bake, or for an image whose
    files have no later time than its newest package, the time of that package.
    """
    try:
        found = int(os.stat(path).st_mtime)
    except OSError:
        return 0
    return found if found > _NO_DATE else 0


def representable(found: Mapping[str, str]) -> Dict[str, str]:
    """The known attributes that HTCondor's configuration can represent."""
    return {
        name: value
        for name, value in found.items()
        if value and len(value) <= 255 and problem_with("string", value) is None
    }


def _first(data: Mapping[str, Any], *names: str) -> str:
    values = (data.get(name) for name in names)
    # cloud-init says "unknown" on a machine in no cloud that it knows.
    return next((value for value in values if isinstance(value, str) and value != "unknown"), "")


def _drone(data: Mapping[str, Any]) -> str:
    """The UUID of a drone of COBalD/TARDIS, by which its HTCondor adapter finds it; "" for others.

    TARDIS launches a server of OpenStack under this UUID as its name, with the metadata of its
    configuration; `worker-bakery fleet export tardis` has the mark there.
    """
    server = (data.get("ds") or {}).get("meta_data")
    metadata = server.get("meta") if isinstance(server, dict) else None
    if not isinstance(metadata, dict) or metadata.get("worker_bakery_drone") != "tardis":
        return ""
    return _first(server or {}, "name")


def _instance_type(data: Mapping[str, Any]) -> str:
    """The instance type, which each data source stores elsewhere; cloud-init has no common name for it."""
    source = data.get("ds") or {}
    places = (source.get("meta_data"), (source.get("ec2_metadata")), source.get("metadata"))
    for place in places:
        if isinstance(place, dict):
            for inner in (place, place.get("instance"), place.get("compute")):
                found = _first(inner or {}, "instance-type", "instance_type", "machine-type", "vmSize")
                if found:
                    return found.rpartition("/")[2]  # Google's is a path
    return ""
