"""A raw disk image's root partition, mounted. Offsets and a loop device; no partition nodes needed."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from provisioner import run
from provisioner.errors import BadInput, BakeryError, CommandFailed, DiskFull

# Discoverable Partitions Specification: "root" for x86-64 and arm64, then plain Linux data.
_ROOT_TYPES = (
    "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
    "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    "83",
)

_SPARE = 8 << 20  # bytes; a file system with less than that left has failed somebody
_NO_SPACE = "No space left on device"


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


def wait_unmounted(disk: Path, seconds: float = 30) -> None:
    """Until no loop device is on the image: the kernel ends a dead room's mounts in its own time."""
    end = time.monotonic() + seconds
    while str(disk) in _behind_loops():
        if time.monotonic() > end:
            raise BakeryError(f"{disk} is still mounted.", "What is it that holds it? See losetup -l.")
        time.sleep(0.1)


def _behind_loops() -> set[str]:
    found = set()
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found.add(path.read_text().strip())
        except OSError:
            continue  # it went while we looked
    return found


def full_disk(error: BakeryError, disk: Path, root: Path) -> BakeryError:
    """The same error, or DiskFull if it is because there is no space left, on which disk of the two.

    A full disk under the image looks like a broken one from inside: only this machine knows.
    """
    if _free(disk) < _SPARE:
        return DiskFull(
            f"The disk that the image is made on is full. {error.message}",
            "Free some space, or set WORKER_BAKERY_CACHE to a folder on a larger disk.",
        )
    if _free(root) < _SPARE or _NO_SPACE in error.message:
        return DiskFull(
            f"The image's own root file system is full. {error.message}",
            "Install less, or start from a base with a larger root (root_size in its TOML file).",
        )
    return error


def _free(where: Path) -> int:
    found = os.statvfs(where)
    return found.f_bavail * found.f_frsize
