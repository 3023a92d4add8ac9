"""Enlarge a disk image: its file, its root partition, and the root file system.

The partition table is changed in the file, so no machine needs growpart, or an sfdisk that knows GPT (EL7
has none). The file system is enlarged while it is mounted, which its kernel does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from provisioner.disk.file_systems import Partition, partitions
from provisioner.errors import BadInput
from provisioner.process import run

_GIB = 1 << 30
# The programs that enlarge a mounted file system, by its type; $DEVICE and $FOLDER are replaced.
_PROGRAMS = {
    "ext3": ("resize2fs", "$DEVICE"),
    "ext4": ("resize2fs", "$DEVICE"),
    "xfs": ("xfs_growfs", "$FOLDER"),
    "btrfs": ("btrfs", "filesystem", "resize", "max", "$FOLDER"),
}


def enlarge_partition(disk: Path, size: int) -> None:
    """Enlarge a raw disk to `size` bytes, and its last partition, the root, to the end.

    Raises BadInput: the disk is larger already, or another partition or LVM is in the way.
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
    if last and last.file_system in _PROGRAMS:
        larger = [each for each in found if each.file_system in _PROGRAMS and each.size > last.size]
        if not larger:
            return last
    has = last.file_system if last and last.file_system else "no known file system"
    raise BadInput(
        f"The root of this base cannot be enlarged: the last partition of its disk has {has}"
        f"{', but is not the largest' if last and last.file_system in _PROGRAMS else ''}.",
        f"The last partition must be the root, with {', '.join(sorted(_PROGRAMS))}.",
    )


def grow_file_system(disk: Path, folder: Path) -> None:
    """Enlarge the root file system of the raw disk, mounted at `folder`, to the size of its partition.

    Raises BadInput: another partition than the enlarged one is mounted there.
    """
    device, kind = run.call(["findmnt", "-nvro", "SOURCE,FSTYPE", str(folder)]).stdout.split()
    offset = Path("/sys/block", Path(device).name, "loop/offset").read_text()
    if int(offset) != root_partition(partitions(disk)).start:
        raise BadInput("The root of this base cannot be enlarged: it is not the last partition.")
    words = {"$DEVICE": device, "$FOLDER": str(folder)}
    run.call([words.get(word, word) for word in _PROGRAMS[kind]])


# The same on a machine that runs from the disk.
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
