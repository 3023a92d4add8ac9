"""Enlarge a disk image: its file, its root partition, and the root file system.

The partition table is changed in the file, so no machine needs growpart, or an sfdisk that knows GPT (EL7
has none). The chroot engine enlarges an ext4 before it is mounted: on a mounted one that requires
CAP_SYS_RESOURCE, which containers may not have. Other file systems can be enlarged only while mounted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from provisioner.disk.file_systems import Partition, partitions
from provisioner.errors import BadInput
from provisioner.process import run

_GIB = 1 << 30
_EXT = ("ext3", "ext4")
_FILE_SYSTEMS = (*_EXT, "xfs", "btrfs")


def enlarge(disk: Path, size: int) -> None:
    """Enlarge a raw disk to `size` bytes, and its last partition, the root, to the end.

    The file system stays as it is. Raises BadInput: the disk is larger already, or another partition or LVM
    is in the way.
    """
    there = disk.stat().st_size
    if size < there:
        raise BadInput(
            f"The root size of {size / _GIB:.2f} GiB is smaller than the disk of the base, "
            f"{there / _GIB:.2f} GiB.",
            "A disk can only be enlarged.",
        )
    root = root_partition(partitions(disk))
    os.truncate(disk, size)
    # Of the partition only the size changes. sfdisk moves the second table of a GPT to the new end.
    run.call(["sfdisk", "--no-reread", "-N", str(root.number), str(disk)], stdin=b", +\n")


def root_partition(found: Sequence[Partition]) -> Partition:
    """The root partition, which must be the last on the disk. Raises BadInput."""
    last = max(found, key=lambda each: each.start, default=None)
    if last and last.file_system in _FILE_SYSTEMS:
        larger = [each for each in found if each.file_system in _FILE_SYSTEMS and each.size > last.size]
        if not larger:
            return last
    has = last.file_system if last and last.file_system else "no known file system"
    raise BadInput(
        f"The root of this base cannot be enlarged: the last partition of its disk has {has}"
        f"{', but is not the largest' if last and last.file_system in _FILE_SYSTEMS else ''}.",
        f"The last partition must be the root, with {', '.join(_FILE_SYSTEMS)}.",
    )


def grow_unmounted(disk: Path) -> None:
    """Enlarge an ext4 on the enlarged partition of a raw disk. Other file systems stay as they are."""
    root = root_partition(partitions(disk))
    if root.file_system in _EXT:
        with _loop_device(disk, root) as device:
            # resize2fs requires that e2fsck has just checked it. 1: errors were corrected.
            run.call(["e2fsck", "-f", "-p", device], expect=(0, 1))
            run.call(["resize2fs", device])


@contextmanager
def _loop_device(disk: Path, partition: Partition) -> Iterator[str]:
    """A device for the partition. The kernel releases it when this process has ended at the latest.

    (resize2fs, given a file and the offset of a partition, would cut off the file behind the partition.)
    """
    limits = ["--offset", str(partition.start), "--sizelimit", str(partition.size)]
    device = run.call(["losetup", "--find", "--show", *limits, str(disk)]).stdout.strip()
    opened = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        run.call(["losetup", "--detach", device])  # effective when nobody has it open any more
        yield device
    finally:
        os.close(opened)


def grow_mounted(disk: Path, folder: Path) -> None:
    """Enlarge an XFS that is mounted at `folder`, the root of the raw disk, to the size of its partition.

    Raises BadInput: another partition than the enlarged one is mounted there.
    """
    device, kind = run.call(["findmnt", "-nvro", "SOURCE,FSTYPE", str(folder)]).stdout.split()
    offset = Path("/sys/block", Path(device).name, "loop/offset").read_text()
    if int(offset) != root_partition(partitions(disk)).start:
        raise BadInput("The root of this base cannot be enlarged: it is not the last partition.")
    if kind == "xfs":
        run.call(["xfs_growfs", str(folder)])


# The same on a machine that runs from the disk. It does nothing if there is nothing to enlarge.
GROW_ROOT = """\
set -eu
device=$(findmnt -nvo SOURCE /)
case $(findmnt -nvo FSTYPE /) in
ext3 | ext4) resize2fs "$device" ;;
xfs) xfs_growfs / ;;
btrfs) btrfs filesystem resize max / ;;
*) echo "The root file system of this machine cannot be enlarged."; exit 1 ;;
esac
"""
