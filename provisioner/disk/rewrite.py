"""Write the file systems of a finished disk again, so that its bytes depend on its content alone.

The new disk has the partition table and the other partitions of the old one. Each mounted ext file system
is written in the order of its names, with the same UUID, label and features, and with no time after a given
date; no content of deleted files is left. Other file systems have no tool that does this.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from stat import S_ISDIR, S_ISREG

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


@contextmanager
def bound(mounted: Mounted, work: Path) -> Iterator[Mounted]:
    """Yield the same file systems at mount points of their own, at which nothing is mounted below them."""
    places = []
    for partition, where in mounted.places:
        place = work / f"file-system-{partition.number}"
        place.mkdir()
        run.call(["mount", "--bind", str(where), str(place)])
        places.append((partition, place))
    yield Mounted(tuple(places), ())
    for _, place in places:
        run.call(["umount", str(place)])
        place.rmdir()


def rewrite(disk: Path, mounted: Mounted, date: int) -> str:
    """Replace `disk` by a new one; return "", or why it was left as it is.

    `mounted` are its file systems from `bound`, which no process changes any more. `date` is in seconds
    since 1970. Raises CommandFailed, DiskFull.
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
    """Files and folders with attributes that a copy would lose, by their path in the image.

    The kernel begins to read the files, which mke2fs would otherwise wait for one by one.
    """
    for path, status in _walk(where):
        if not (S_ISREG(status.st_mode) or S_ISDIR(status.st_mode)):
            continue
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            flags = struct.unpack("<Q", ioctl(opened, _GET_FLAGS, bytes(8)))[0]
            if S_ISREG(status.st_mode):
                os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(opened)
        letters = (letter for flag, letter in _ATTRIBUTES.items() if flags & flag)
        yield from ((f"/{Path(path).relative_to(where)}", letter) for letter in letters)


def _walk(where: Path) -> Iterator[tuple[str, os.stat_result]]:
    """All paths in a file system, with their status; the folder itself comes first."""
    yield str(where), where.stat()
    folders = [str(where)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                yield entry.path, entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)


def _write(disk: Path, new: Path, mounted: Mounted, date: int) -> None:
    _copy_rest(disk, new, [partition for partition, _ in mounted.places])
    for partition, where in mounted.places:
        clamp(where, date)
        ext4.write(where, new, partition, ext4.shape(disk, partition), date)


def clamp(where: Path, date: int) -> None:
    """Set each later modification time to `date`, in seconds since 1970."""
    limit = date * 10**9
    for path, status in _walk(where):
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
    while (at := _data_from(source, at, end)) < end:
        data = os.pread(source, min(_CHUNK, end - at), at)
        if data.count(0) != len(data):
            os.pwrite(target, data, at)
        at += len(data)


def _data_from(file: int, at: int, end: int) -> int:
    """The offset of the next data from `at`, or a number that is not less than `end`."""
    try:
        return os.lseek(file, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return end
        raise
