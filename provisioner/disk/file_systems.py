"""Mount the file systems of a raw disk image according to its fstab.

Partitions are mounted by offset on loop devices, so no partition device nodes are needed. The files of an
EFI partition are copied out and changes are copied back with mtools: the kernel need not support vfat.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner import source_date
from provisioner.errors import BadInput, BakeryError, CommandFailed
from provisioner.process import run
from provisioner.targets.chroot import inside

# Discoverable Partitions Specification: "root" for x86-64 and arm64.
_ROOT_TYPES = ("4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "B921B045-1DF0-41C3-AF44-4C6F280D3FAE")
_EFI_TYPES = ("C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "EF")
# Where systemd mounts an EFI system partition that fstab does not mention (systemd-gpt-auto-generator(8)).
_EFI_FOLDERS = ("/efi", "/boot")
_LVM_TYPES = ("E6D6D379-F507-44C2-A23C-238F2A3DF928", "8E")
EXT = ("ext2", "ext3", "ext4")
# File systems that are not mounted on this machine: blkid's names and common names. btrfs, because two of
# the same UUID (a base and its copy) must never be mounted at once, and loop devices do not separate them.
_NOT_MOUNTED_HERE = {
    "LVM2_member": "LVM",
    "crypto_LUKS": "LUKS",
    "linux_raid_member": "RAID",
    "btrfs": "btrfs",
}
_PACKER = "Use --engine packer, which changes the image in a virtual machine."
_MTOOLS = {
    "MTOOLS_SKIP_CHECK": "1",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PATH": os.defpath + ":/usr/sbin:/sbin",
}


@dataclass(frozen=True)
class Partition:
    """`start` and `size` in bytes; `kind` is the partition type, `tags` the names for fstab (UUID, …)."""

    number: int
    start: int
    size: int
    kind: str
    file_system: str  # TYPE of blkid, "" for none
    tags: frozenset[tuple[str, str]]


@dataclass(frozen=True)
class FstabEntry:
    """A line of fstab: the device, and its mount point in the image."""

    spec: str
    where: str


@dataclass(frozen=True)
class _Copy:
    """The files of an EFI partition on a tmpfs, with their original digests ("" for folders)."""

    image: str  # in the notation of mtools: FILE@@OFFSET
    where: Path
    before: dict[str, str]


@dataclass(frozen=True)
class Mounted:
    """Mounted file systems of a disk, each with its mount point; the root comes first."""

    places: tuple[tuple[Partition, Path], ...]
    copies: tuple[_Copy, ...]


def mount_root(disk: Path, where: Path, *, read_only: bool = False, boot_loader: bool = False) -> Mounted:
    """Mount the root file system on `where`, and below it the other file systems in its fstab.

    With `boot_loader`, an EFI system partition that fstab does not mention is mounted as well. The caller
    is in a sandbox, whose end unmounts them; loop devices are then released. Raises BadInput: there is no
    Linux root, or its file system is not supported (LVM, LUKS, RAID, btrfs).
    """
    found = partitions(disk)
    places, copies = [(_mount_first_root(disk, found, where, read_only), where)], []
    for entry in fstab_entries(_fstab(where)):
        partition = find_partition(entry.spec, found)
        if partition is None:
            continue  # on another disk, or not on a disk
        mount_point = _mount_point(where, entry.where)
        if partition.file_system == "vfat":
            copies.append(_copy_out(disk, partition, mount_point, read_only))
        else:
            _mount(disk, partition, mount_point, read_only)
            places.append((partition, mount_point))
    if boot_loader and not copies:
        copies += _efi_copies(disk, found, where, read_only)
    return Mounted(tuple(places), tuple(copies))


def finish(mounted: Mounted, date: int = 0) -> None:
    """Save changes and trim before unmounting: deleted data is not recoverable and takes no space."""
    save_copies(mounted, date)
    trim(mounted)


def save_copies(mounted: Mounted, date: int = 0) -> None:
    """Write changed files of EFI partitions back to the disk.

    `date`: the time that they get, in seconds since 1970; 0: their own times.
    """
    for copy in mounted.copies:
        _copy_back(copy, date)


def trim(mounted: Mounted) -> None:
    """Write all changes of the file systems, and release the space of deleted files."""
    for _, where in mounted.places:
        run.call(["sync", "--file-system", str(where)])
        run.call(["fstrim", str(where)])


def wait_unmounted(disk: Path, seconds: float = 30) -> None:
    """Wait until no loop device uses the image: the kernel unmounts asynchronously after a sandbox ends.

    Raises BakeryError after this number of seconds.
    """
    end = time.monotonic() + seconds
    while str(disk) in _behind_loops():
        if time.monotonic() > end:
            raise BakeryError(f"{disk} is still mounted.", "To see its loop devices, run losetup -l.")
        time.sleep(0.1)


def _behind_loops() -> set[str]:
    found = set()
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found.add(path.read_text().strip())
        except OSError:
            continue  # the device was released in the meantime
    return found


# --- partitions --------------------------------------------------------------------------------


def partitions(disk: Path) -> tuple[Partition, ...]:
    """The partitions of a raw disk image. Raises BadInput: it has no partition table."""
    try:
        table = json.loads(run.call(["sfdisk", "--json", str(disk)]).stdout)["partitiontable"]
    except CommandFailed:
        raise BadInput("The image has no partition table.", "It must be a bootable disk image.") from None
    return tuple(_partition(disk, table, row) for row in table.get("partitions", []))


def _partition(disk: Path, table: dict[str, str], row: dict[str, str]) -> Partition:
    sector = int(table.get("sectorsize", 512))
    start, size = int(row["start"]) * sector, int(row["size"]) * sector
    number = int(re.findall(r"\d+$", row["node"])[0])
    probe = ["blkid", "-p", "-O", str(start), "-S", str(size), "-o", "export", str(disk)]
    output = run.call(probe, expect=(0, 2)).stdout  # 2: nothing recognized
    fields = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    # An MBR has no partition UUIDs; the kernel derives one from the disk id.
    own = row.get("uuid") or f"{table.get('id', '').removeprefix('0x')}-{number:02x}"
    tags = {
        ("PARTUUID", own.lower()),
        ("PARTLABEL", row.get("name", "")),
        ("UUID", fields.get("UUID", "").lower()),
        ("LABEL", fields.get("LABEL", "")),
    }
    return Partition(
        number,
        start,
        size,
        row["type"].upper(),
        fields.get("TYPE", ""),
        frozenset((name, value) for name, value in tags if value),
    )


def root_candidates(found: Iterable[Partition]) -> list[Partition]:
    """Partitions that may be the root: those with a root type first, then the largest."""
    usable = [each for each in found if each.file_system in (*EXT, "xfs")]
    return sorted(usable, key=lambda each: (each.kind not in _ROOT_TYPES, -each.size))


def find_partition(spec: str, found: Iterable[Partition]) -> Partition | None:
    """The partition of this disk that a device field of fstab refers to; None if there is none.

    `spec` is a tag (UUID=…) or a device name of the first disk of a machine (/dev/vda1).
    """
    name, is_tag, value = spec.partition("=")
    value = value.strip('"')
    if is_tag and "UUID" in name:
        value = value.lower()
    device = re.fullmatch(r"/dev/(?:[vsh]da|xvda|nvme0n1p|mmcblk0p)(\d+)", spec)
    for each in found:
        if (name, value) in each.tags or (device and int(device[1]) == each.number):
            return each
    return None


def fstab_entries(fstab: str) -> Iterator[FstabEntry]:
    """The entries of an fstab to mount below the root, outer mount points first."""
    rows = [row.split() for row in fstab.splitlines() if not row.lstrip().startswith("#")]
    usual = [
        FstabEntry(_plain(row[0]), _plain(row[1])) for row in rows if len(row) >= 3 and row[2] != "swap"
    ]
    below = [each for each in usual if re.fullmatch(r"(/[^/]+)+/?", each.where) and ".." not in each.where]
    yield from sorted(below, key=lambda entry: entry.where.count("/"))


def _plain(word: str) -> str:
    r"""Decode the escapes of fstab (\040 is a space)."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), word)


# --- mounting ----------------------------------------------------------------------------------


def _mount_first_root(disk: Path, found: Sequence[Partition], where: Path, read_only: bool) -> Partition:
    for partition in root_candidates(found):
        _mount(disk, partition, where, read_only)
        if partition.kind in _ROOT_TYPES or _is_root(where):
            return partition
        run.call(["umount", str(where)])
    for partition in found:
        name = _NOT_MOUNTED_HERE.get(partition.file_system)
        if name or partition.kind in _LVM_TYPES:
            raise BadInput(
                f"The root of the image is on {name or 'LVM'}, which the chroot engine does not support.",
                _PACKER,
            )
    raise BadInput("The image has no Linux root partition.", "It must be a bootable disk image.")


def _is_root(where: Path) -> bool:
    return any(os.path.lexists(where / name) for name in ("etc/os-release", "usr/lib/os-release"))


def _mount(disk: Path, partition: Partition, where: Path, read_only: bool) -> None:
    if partition.file_system not in (*EXT, "xfs"):
        name = _NOT_MOUNTED_HERE.get(
            partition.file_system, partition.file_system or "an unknown file system"
        )
        raise BadInput(
            f"Partition {partition.number} of the image has {name}, "
            "which the chroot engine does not support.",
            _PACKER,
        )
    # barrier=0: each journal commit would flush the disk of this machine. That is not needed: an image that
    # was not unmounted is discarded.
    options = ["loop", f"offset={partition.start}", f"sizelimit={partition.size}"]
    # noload, norecovery: do not replay the journal when reading only.
    if partition.file_system == "xfs":
        # nouuid: another bake may have mounted its copy of the same base.
        options += ["nouuid", *(["ro", "norecovery"] if read_only else ["discard"])]
    else:
        options += ["ro", "noload"] if read_only else ["discard"]
    if partition.file_system in ("ext3", "ext4") and not read_only:
        options.append("barrier=0")
    run.call(["mount", "-t", partition.file_system, "-o", ",".join(options), str(disk), str(where)])


def _fstab(root: Path) -> str:
    path = inside(root, "/etc/fstab")
    return path.read_text("utf-8", "replace") if path.is_file() and not path.is_symlink() else ""


def _mount_point(root: Path, path: str) -> Path:
    """The path of a mount point, with symbolic links resolved inside the image. Raises BadInput."""
    mount_point = inside(root, path)
    if mount_point.is_symlink() or not mount_point.is_dir():
        raise BadInput(f"The fstab of the image has the mount point {path}, which is not a folder.")
    return mount_point


# --- EFI partitions ----------------------------------------------------------------------------


def _efi_copies(disk: Path, found: Iterable[Partition], root: Path, read_only: bool) -> list[_Copy]:
    """The EFI system partition at the first empty folder for it; empty if either is missing."""
    partition = next((one for one in found if one.kind in _EFI_TYPES and one.file_system == "vfat"), None)
    folders = (inside(root, path) for path in _EFI_FOLDERS)
    free = next((each for each in folders if each.is_dir() and not any(each.iterdir())), None)
    return [_copy_out(disk, partition, free, read_only)] if partition and free else []


def _copy_out(disk: Path, partition: Partition, where: Path, read_only: bool) -> _Copy:
    image = f"{disk}@@{partition.start}"
    run.call(["mount", "-t", "tmpfs", "-o", f"mode=0700,size={partition.size}", "tmpfs", str(where)])
    if _mtools("mdir", "-b", "-i", image, "::").strip():
        _mtools("mcopy", "-s", "-m", "-n", "-i", image, "::*", str(where))
    if read_only:
        run.call(["mount", "-o", "remount,ro", str(where)])
    return _Copy(image, where, _content(where))


def _copy_back(copy: _Copy, date: int) -> None:
    """Write only changed files, so that two bakes of the same plan produce the same partition."""
    now, at = _content(copy.where), copy.image
    for name in sorted(set(copy.before) - set(now), reverse=True):  # content before its folder
        _mtools("mdel" if copy.before[name] else "mrd", "-i", at, f"::{name}", date=date)
    for name in sorted(now):
        if name not in copy.before and not now[name]:
            _mtools("mmd", "-i", at, f"::{name}", date=date)
        elif now[name] and copy.before.get(name) != now[name]:
            if date:
                os.utime(copy.where / name, (date, date))
            _mtools("mcopy", "-m", "-o", "-i", at, str(copy.where / name), f"::{name}", date=date)


def _content(folder: Path) -> dict[str, str]:
    """Digests by path relative to `folder`. Links and devices are omitted: vfat does not support them."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            continue
        digest = "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = digest
    return found


def _mtools(*argv: str, date: int = 0) -> str:
    env = {**_MTOOLS, source_date.VARIABLE: str(date)} if date else _MTOOLS
    return run.call(argv, env=env).stdout
