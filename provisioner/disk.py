"""A raw disk image's root partition, mounted. Offsets and a loop device; no partition nodes needed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from provisioner import run
from provisioner.errors import BadInput, CommandFailed

# Discoverable Partitions Specification: "root" for x86-64 and arm64, then plain Linux data.
_ROOT_TYPES = (
    "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
    "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    "83",
)


@dataclass(frozen=True)
class Partition:
    start: int  # bytes
    size: int  # bytes


def root_partition(disk: Path) -> Partition:
    """Raises BadInput when the disk has no partition that could be a Linux root."""
    try:
        table = json.loads(run.call(["sfdisk", "--json", str(disk)]).stdout)["partitiontable"]
    except CommandFailed:
        raise BadInput("The image has no partition table.", "Is it a bootable disk image?") from None
    sector = int(table.get("sectorsize", 512))
    for kind in _ROOT_TYPES:
        found = [entry for entry in table.get("partitions", []) if entry["type"].upper() == kind]
        if found:
            largest = max(found, key=lambda entry: int(entry["size"]))
            return Partition(int(largest["start"]) * sector, int(largest["size"]) * sector)
    raise BadInput("The image has no Linux root partition.", "Is it a bootable disk image?")


def mount_root(disk: Path, where: Path, *, read_only: bool = False) -> None:
    """Mount for the life of the room; the loop device goes with the mount (autoclear)."""
    partition = root_partition(disk)
    options = f"loop,offset={partition.start},sizelimit={partition.size}"
    # noload: a read-only look must not replay a journal.
    options += ",ro,noload" if read_only else ",discard"
    run.call(["mount", "-o", options, str(disk), str(where)])
