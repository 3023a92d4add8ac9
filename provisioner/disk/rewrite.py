"""Write the file systems of a finished disk again, so that its bytes depend on its content alone.

The new disk has the partition table and the other partitions of the old one. Each mounted ext file system
is written in the order of its names, with the same UUID, label and features, and with no time after a given
date; no content of deleted files is left. Other file systems have no tool that does this.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from fcntl import ioctl
from pathlib import Path

from provisioner.disk import ext4
from provisioner.disk.file_systems import EXT, Mounted, Partition
from provisioner.errors import CommandFailed
from provisioner.process import run

_CHUNK = 1 << 20
_GET_FLAGS = 0x80086601  # FS_IOC_GETFLAGS, linux/fs.h
# Flags of files that a copy would lose: all but those of the layout (extents, indexes, huge files, …).
_ATTRIBUTES = {
    0x8: "S", 0x10: "i", 0x20: "a", 0x40: "d", 0x80: "A", 0x800: "E", 0x4000: "j", 0x8000: "t",
    0x10000: "D", 0x20000: "T", 0x100000: "V", 0x2000000: "x", 0x20000000: "P", 0x40000000: "F",
}  # fmt: skip
_BOOT_BLOCK = 1024  # bytes before the superblock of an ext file system
_GRUB_SECTOR = 0x5C  # in GRUB's boot record: the first sector of its core image (boot.S)


def rewrite(disk: Path, mounted: Mounted, date: int) -> str:
    """Replace `disk` by a new one; return "", or why it was left as it is.

    `mounted` are its mounted file systems, which no process changes any more. They stay mounted. `date` is
    in seconds since 1970. Raises CommandFailed, DiskFull.
    """
    obstacle = find_obstacle(disk, mounted) if date else "its packages have no dates"
    if obstacle:
        return obstacle
    new = disk.with_name(f"{disk.name}.new")
    try:
        _write(disk, new, mounted, date)
    except CommandFailed as error:
        if "Invalid filesystem option" not in error.tail:
            raise
        new.unlink()
        return "mke2fs of this machine is too old for the features of the file system"
    new.rename(disk)
    return ""


def find_obstacle(disk: Path, mounted: Mounted) -> str:
    """Why the file systems cannot be written again, as a clause; "" if they can."""
    for partition, where in mounted.places:
        if partition.file_system not in EXT:
            return f"{partition.file_system} cannot be written in a fixed order"
        if _has_boot_blocks(disk, partition):
            return f"the boot loader reads blocks of partition {partition.number} without its file system"
        if found := next(_with_attributes(where), None):
            return f"the file {found[0]} has the attribute {found[1]} of chattr(1)"
    return ""


def _has_boot_blocks(disk: Path, partition: Partition) -> bool:
    """Whether a boot loader depends on positions in the file system, which change."""
    with disk.open("rb") as file:
        (core,) = struct.unpack_from("<Q", file.read(512), _GRUB_SECTOR)
        file.seek(partition.start)
        code = file.read(_BOOT_BLOCK)
    return any(code) or partition.start <= core * 512 < partition.start + partition.size


def _with_attributes(where: Path) -> Iterator[tuple[str, str]]:
    """Files and folders with attributes that a copy would lose, by their path in the image."""
    for entry in _walk(where):
        if entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
            continue
        opened = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            flags = struct.unpack("<Q", ioctl(opened, _GET_FLAGS, bytes(8)))[0]
        finally:
            os.close(opened)
        for flag, letter in _ATTRIBUTES.items():
            if flags & flag:
                yield f"/{Path(entry.path).relative_to(where)}", letter


def _walk(where: Path) -> Iterator[os.DirEntry[str]]:
    """All entries of one file system below a folder; mount points are skipped."""
    device, folders = where.stat().st_dev, [str(where)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.stat(follow_symlinks=False).st_dev == device:
                    yield entry
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)


def _write(disk: Path, new: Path, mounted: Mounted, date: int) -> None:
    partitions = [partition for partition, _ in mounted.places]
    _copy_rest(disk, new, partitions)
    for partition, where in mounted.places:
        tree = disk.with_name(f"tree-{partition.number}")
        tree.mkdir()
        run.call(["mount", "--bind", str(where), str(tree)])  # without what is mounted below
        clamp(tree, date)
        ext4.write(tree, new, partition, ext4.shape(disk, partition), date)
        run.call(["umount", str(tree)])
        tree.rmdir()


def clamp(tree: Path, date: int) -> None:
    """Set each later modification time to `date`, in seconds since 1970."""
    limit = date * 10**9
    for path in [tree, *(Path(entry.path) for entry in _walk(tree))]:
        status = path.lstat()
        if status.st_mtime_ns > limit:
            os.utime(path, ns=(limit, limit), follow_symlinks=False)


def _copy_rest(disk: Path, new: Path, without: Sequence[Partition]) -> None:
    """Copy all bytes outside of these partitions to a new file, without the holes."""
    size = disk.stat().st_size
    starts = [0, *(each.start + each.size for each in without)]
    ends = [*(each.start for each in without), size]
    with disk.open("rb") as source, new.open("wb") as target:
        target.truncate(size)
        for start, end in zip(sorted(starts), sorted(ends), strict=True):
            _copy(source.fileno(), target.fileno(), start, end)


def _copy(source: int, target: int, at: int, end: int) -> None:
    while at < end:
        data = os.pread(source, min(_CHUNK, end - at), at)
        if data.count(0) != len(data):
            os.pwrite(target, data, at)
        at += len(data)
