"""Write a folder to an ext2, ext3 or ext4 file system, so that the bytes depend on its content alone.

A mounted file system lays out files in the order in which they were written, by several processors, and
keeps the content of deleted ones. mke2fs -d writes a folder sorted by name, without the kernel. It takes
the times of access and change from the folder, which no program can set there; debugfs sets them.
(mke2fs >= 1.47.1 can do that itself, see SOURCE_DATE_EPOCH in mke2fs(8).)
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.disk.file_systems import Partition
from provisioner.errors import CommandFailed
from provisioner.process import run
from provisioner.process.scrub import shown

# Not dumpe2fs: since 1.47.1, it takes the = of DISK?offset=N for a tag such as LABEL=NAME.
TOOLS = ("mke2fs", "debugfs")
# Features that say how a file system was last used, not how to make one.
_STATES = frozenset({"needs_recovery", "orphan_present"})
# Without it, mke2fs would use the defaults of this machine.
_CONFIGURATION = """\
[defaults]
\tdefault_mntopts = {mount_options}
[fs_types]
\text2 = {{
\t}}
\text3 = {{
\t}}
\text4 = {{
\t}}
"""
# The kernel has nothing left to initialize at the first mount.
_COMPLETE = "lazy_itable_init=0,lazy_journal_init=0"
_ROOT_INODE, _FIRST_FREE = 2, 11  # the inodes between are of the file system itself, except lost+found
_JOURNAL_INODE = 8
_GROUP = re.compile(
    r"^ Group +(\d+): .*inode bitmap at (\d+), .*\n +\d+ free blocks?, (\d+) free inodes?,", re.MULTILINE
)


@dataclass(frozen=True)
class Shape:
    """The parameters of a file system. Sizes are in bytes, but `reserved` and `blocks` in blocks."""

    uuid: str
    label: str
    features: tuple[str, ...]
    mount_options: tuple[str, ...]
    errors: str  # what the kernel does about an error, in the words of mke2fs
    block: int
    inode: int
    blocks: int
    inodes: int
    reserved: int
    journal: int

    @property
    def hash_seed(self) -> str:
        """The seed of the hashes of folders, which mke2fs would choose at random."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, self.uuid))


def shape(disk: Path, partition: Partition) -> Shape:
    """Read the parameters of the file system in a partition. Raises CommandFailed."""
    return parse(_told(disk, partition, "stats -h", f"stat <{_JOURNAL_INODE}>"))


def _told(disk: Path, partition: Partition, *commands: str) -> str:
    """What debugfs prints for these commands. Raises CommandFailed.

    -n: while the file system is mounted, the checksum of its superblock on the disk may be outdated, and
    debugfs would print nothing.
    """
    argv = ["debugfs", "-n", "-f", "-", _inside(disk, partition)]
    return run.call(argv, stdin="\n".join(commands).encode(), env=_environment()).stdout


def parse(text: str) -> Shape:
    """The parameters in the output of debugfs, of `stats -h` and of `stat` for the journal."""
    rows = dict(re.findall(r"^([^:\n]+):[ \t]*(.*)$", text, re.MULTILINE))
    journal = re.search(r"^User: .* Size: (\d+)$", text, re.MULTILINE)
    label, errors = rows["Filesystem volume name"], rows.get("Errors behavior", "Continue")
    return Shape(
        rows["Filesystem UUID"],
        "" if label == "<none>" else label,
        tuple(sorted(set(rows["Filesystem features"].split()) - _STATES)),
        tuple(rows["Default mount options"].replace("(none)", "").split()),
        {"Remount read-only": "remount-ro", "Panic": "panic"}.get(errors, "continue"),
        int(rows["Block size"]),
        int(rows.get("Inode size", 128)),
        int(rows["Block count"]),
        int(rows["Inode count"]),
        int(rows["Reserved block count"]),
        int(journal[1]) if journal else 0,
    )


def write(tree: Path, disk: Path, partition: Partition, shape: Shape, date: int) -> None:
    """Write the content of the folder `tree` to a partition of `disk`, which must be empty: all zero.

    All times of access, change and creation become `date`, in seconds since 1970. Raises CommandFailed,
    DiskFull.
    """
    configuration = disk.with_name(f"{disk.name}.mke2fs")
    options = ",".join(shape.mount_options)
    configuration.write_text(_CONFIGURATION.format(mount_options=options))
    try:
        env = _environment(MKE2FS_CONFIG=str(configuration), E2FSPROGS_FAKE_TIME=str(date))
        run.call(_mke2fs(tree, disk, partition, shape), env=env)
    finally:
        configuration.unlink()
    _set_fields(tree, disk, partition, date)


def _mke2fs(tree: Path, disk: Path, partition: Partition, shape: Shape) -> list[str]:
    journal = f"size={shape.journal >> 20}"
    return [
        *("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(tree)),
        *("-U", shape.uuid, "-L", shape.label, "-O", ",".join(("none", *shape.features))),
        *("-b", str(shape.block), "-I", str(shape.inode), "-N", str(shape.inodes)),
        *("-m", repr(100 * shape.reserved / shape.blocks), "-e", shape.errors),
        *(["-J", journal] if shape.journal else []),
        *("-E", f"offset={partition.start},hash_seed={shape.hash_seed},nodiscard,{_COMPLETE}"),
        *(str(disk), f"{shape.blocks * shape.block >> 10}k"),
    ]


def _set_fields(tree: Path, disk: Path, partition: Partition, date: int) -> None:
    """Set the times, and what mke2fs does not copy to the root folder."""
    root = tree.stat()
    set_times(
        disk,
        partition,
        date,
        (_ROOT_INODE, "mtime", f"@{int(root.st_mtime)}"),
        (_ROOT_INODE, "mode", f"0{root.st_mode:o}"),
        (_ROOT_INODE, "uid", str(root.st_uid)),
        (_ROOT_INODE, "gid", str(root.st_gid)),
    )


def set_times(disk: Path, partition: Partition, date: int, *more: tuple[int, str, str]) -> None:
    """Set all times of access, change and creation to `date`, and more fields: inode, name, value.

    Raises CommandFailed.
    """
    used = _used_inodes(disk, partition)
    times = ((inode, name, f"@{date}") for inode in used for name in ("atime", "ctime", "crtime"))
    fields = (*times, *more)
    text = "".join(f"set_inode_field <{inode}> {name} {value}\n" for inode, name, value in fields)
    command = ["debugfs", "-w", "-f", "-", _inside(disk, partition)]
    env = _environment(E2FSPROGS_FAKE_TIME=str(date))
    done = run.call(command, stdin=text.encode(), env=env)
    problems = [line for line in done.stderr.splitlines() if not line.startswith("debugfs 1.")]
    if problems:  # its status is 0 even so
        raise CommandFailed(shown(command), done.status, "\n".join(problems[:20]))


def _used_inodes(disk: Path, partition: Partition) -> Iterator[int]:
    """The inodes in use by files and folders. Raises CommandFailed."""
    stats = _told(disk, partition, "stats")
    block = int(_value(stats, "Block size"))

    def bitmap(number: int) -> bytes:
        with disk.open("rb") as file:
            file.seek(partition.start + number * block)
            return file.read(block)

    return used_inodes(stats, bitmap)


def used_inodes(stats: str, bitmap: Callable[[int], bytes]) -> Iterator[int]:
    """The inodes in use, from the output of `stats` of debugfs; `bitmap` reads a block of the file system.

    In a bitmap, the lowest bit of the first byte is the first inode of the group.
    """
    size = int(_value(stats, "Inodes per group"))
    for group, block, free in _GROUP.findall(stats):
        if int(free) == size:  # its bitmap need not be initialized
            continue
        bits = int.from_bytes(bitmap(int(block)), "little")
        first = int(group) * size + 1
        used = (first + place for place in range(size) if bits >> place & 1)
        yield from (number for number in used if number == _ROOT_INODE or number >= _FIRST_FREE)


def _value(stats: str, name: str) -> str:
    found = re.search(rf"^{name}:\s+(\S+)$", stats, re.MULTILINE)
    assert found, "debugfs prints it for every file system"
    return found[1]


def _inside(disk: Path, partition: Partition) -> str:
    """The notation of libext2fs for a file system in a file."""
    return f"{disk}?offset={partition.start}"


def _environment(**more: str) -> dict[str, str]:
    """mke2fs sorts names as the locale does. debugfs starts a pager, which reads its commands."""
    path = os.environ.get("PATH", os.defpath)
    return {
        "PATH": f"{path}:/usr/sbin:/sbin",
        "LC_ALL": "C",
        "TZ": "UTC",
        "DEBUGFS_PAGER": "__none__",
        **more,
    }
