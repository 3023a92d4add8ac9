"""Disk layouts of vendors: mounted according to their fstab, or refused with a hint."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.disk import growth
from provisioner.disk.file_systems import Mounted, finish, mount_root, partitions
from provisioner.errors import BadInput
from tests.shapes import BOOT, ESP, LINUX, LVM, ROOT, Fill, Part, call, make

XFS, EXT4, VFAT = ("mkfs.xfs", "-q"), ("mkfs.ext4", "-q"), ("mkfs.vfat",)
UUID = "8d5c7e21-3f64-4c0a-9a51-1c55c0a1d001"


def system(fstab: str = "", folders: tuple[str, ...] = ()) -> Fill:
    """A root file system with os-release, fstab and these folders."""

    def fill(root: Path) -> None:
        (root / "etc").mkdir()
        (root / "etc/os-release").write_text("ID=el\n")
        (root / "etc/fstab").write_text(fstab)
        for folder in folders:
            (root / folder).mkdir(parents=True)

    return fill


def boot(where: Path) -> None:
    (where / "vmlinuz").write_text("kernel")
    (where / "efi").mkdir()


@contextmanager
def opened(disk: Path, where: Path, *, read_only: bool = False) -> Iterator[Mounted]:
    where.mkdir()
    try:
        yield mount_root(disk, where, read_only=read_only)
    finally:
        if os.path.ismount(where):
            call("umount", "-R", where)


@pytest.fixture
def el(tmp_path: Path) -> Path:
    """The layout of EL images: EFI, /boot, root, with xfs; here with generic partition types."""
    fstab = f"""
# made by a test
UUID={UUID} / xfs defaults 0 0
LABEL=boot /boot xfs defaults 0 0
PARTUUID=8D5C7E21-3F64-4C0A-9A51-1C55C0A1D002 /boot/efi vfat umask=0077 0 2
/dev/vdb1 /data ext4 nofail 0 0
UUID=00000000-1111-2222-3333-444444444444 none swap sw 0 0
tmpfs /tmp tmpfs defaults 0 0
"""
    parts = (
        Part(ESP, 34, VFAT, uuid="8d5c7e21-3f64-4c0a-9a51-1c55c0a1d002"),
        Part(LINUX, 400, (*XFS, "-L", "boot"), boot),
        Part(LINUX, 310, (*XFS, "-m", f"uuid={UUID}"), system(fstab, ("boot", "tmp"))),
    )
    disk = make(tmp_path / "el.raw", parts)
    call("mmd", "-i", f"{disk}@@1M", "::EFI", "::EFI/BOOT")
    call("mcopy", "-i", f"{disk}@@1M", "-", "::EFI/BOOT/BOOTX64.EFI", stdin="loader")
    return disk


def test_root_boot_and_efi_are_mounted_and_changes_are_saved(el: Path, tmp_path: Path) -> None:
    with opened(el, tmp_path / "root") as mounted:
        root = tmp_path / "root"
        assert (root / "boot/vmlinuz").read_text() == "kernel"
        assert (root / "boot/efi/EFI/BOOT/BOOTX64.EFI").read_text() == "loader"
        (root / "boot/new").write_text("initrd")
        (root / "boot/efi/EFI/el").mkdir()
        (root / "boot/efi/EFI/el/shim with a long name.efi").write_text("shim")
        (root / "boot/efi/EFI/BOOT/BOOTX64.EFI").write_text("a newer loader")
        finish(mounted)
    with opened(el, tmp_path / "again", read_only=True):
        again = tmp_path / "again"
        assert (again / "boot/new").read_text() == "initrd"
        assert (again / "boot/efi/EFI/el/shim with a long name.efi").read_text() == "shim"
        assert (again / "boot/efi/EFI/BOOT/BOOTX64.EFI").read_text() == "a newer loader"
        for place in ("x", "boot/x", "boot/efi/x"):
            with pytest.raises(OSError, match="Read-only"):
                (again / place).touch()


def test_removals_from_an_efi_partition_are_saved(el: Path, tmp_path: Path) -> None:
    with opened(el, tmp_path / "root") as mounted:
        (tmp_path / "root/boot/efi/EFI/BOOT/BOOTX64.EFI").unlink()
        (tmp_path / "root/boot/efi/EFI/BOOT").rmdir()
        finish(mounted)
    assert call("mdir", "-b", "-/", "-i", f"{el}@@1M", "::").split() == ["::/EFI/"]


def test_an_unchanged_efi_partition_is_identical(el: Path, tmp_path: Path) -> None:
    def partition() -> bytes:
        with el.open("rb") as disk:
            disk.seek(1 << 20)
            return disk.read(34 << 20)

    before = partition()
    with opened(el, tmp_path / "root") as mounted:
        finish(mounted)
    assert partition() == before


def test_two_copies_of_an_xfs_are_mounted_at_once(el: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.raw"
    call("cp", "--sparse=always", el, copy)
    with opened(el, tmp_path / "a"), opened(copy, tmp_path / "b"):
        assert (tmp_path / "a/etc/os-release").exists()
        assert (tmp_path / "b/boot/vmlinuz").exists()


def test_deleted_data_is_not_on_the_disk(el: Path, tmp_path: Path) -> None:
    secret = b"eyJhbGciOiJIUzI1NiJ9." + os.urandom(16).hex().encode()
    with opened(el, tmp_path / "root"):
        (tmp_path / "root/secret").write_bytes(secret * 1000)
        (tmp_path / "root/boot/secret").write_bytes(secret * 1000)
        call("sync")
    assert secret in written(el)
    with opened(el, tmp_path / "again") as mounted:
        (tmp_path / "again/secret").unlink()
        (tmp_path / "again/boot/secret").unlink()
        finish(mounted)
    assert secret not in written(el)


def written(path: Path) -> bytes:
    """The content of a sparse file without its holes."""
    found, at, end = b"", 0, path.stat().st_size
    with path.open("rb") as disk:
        while at < end:
            try:
                at = os.lseek(disk.fileno(), at, os.SEEK_DATA)
            except OSError:
                break  # only a hole is left
            hole = os.lseek(disk.fileno(), at, os.SEEK_HOLE)
            disk.seek(at)
            found += disk.read(hole - at)
            at = hole
    return found


@pytest.mark.parametrize("label", ["gpt", "dos"])
def test_the_root_has_an_os_release_and_need_not_be_the_largest(label: str, tmp_path: Path) -> None:
    kind = LINUX if label == "gpt" else "83"
    parts = (
        Part(kind, 90, EXT4, boot),
        Part(kind, 40, EXT4, system("/dev/vda1 /boot ext4 ro 0 0\n", ("boot",))),
    )
    with opened(make(tmp_path / "disk.raw", parts, label), tmp_path / "root"):
        assert (tmp_path / "root/etc/os-release").exists()
        assert (tmp_path / "root/boot/vmlinuz").exists()


def test_the_partition_type_of_the_root_has_precedence(tmp_path: Path) -> None:
    parts = (Part(LINUX, 90, EXT4, system()), Part(ROOT, 40, EXT4, boot))
    with opened(make(tmp_path / "disk.raw", parts), tmp_path / "root"):
        assert (tmp_path / "root/vmlinuz").exists()


def refused(parts: tuple[Part, ...], tmp_path: Path, *says: str) -> None:
    with (
        pytest.raises(BadInput) as caught,
        opened(make(tmp_path / "disk.raw", parts), tmp_path / "root"),
    ):
        pytest.fail("it was mounted")
    for text in says:
        assert text in str(caught.value)


def lvm_label() -> bytes:
    """The first two sectors of a physical volume: LABELONE, position, checksum, LVM2 001."""
    rest = struct.pack("<I", 32) + b"LVM2 001" + b"A" * 32 + bytes(512 - 64)
    checksum = 0xF597A6CF
    for byte in rest:  # LVM's CRC-32, with another initial value than zlib's, not inverted
        checksum ^= byte
        for _ in range(8):
            checksum = (checksum >> 1) ^ (0xEDB88320 if checksum & 1 else 0)
    label = b"LABELONE" + struct.pack("<QI", 1, checksum) + rest
    return bytes(512) + label


def test_lvm_is_refused_with_a_hint(tmp_path: Path) -> None:
    parts = (Part(BOOT, 40, EXT4, boot), Part(LINUX, 40, content=lvm_label()))
    refused(parts, tmp_path, "LVM", "--engine packer")


def test_a_partition_of_type_lvm_is_refused(tmp_path: Path) -> None:
    refused((Part(LVM, 40),), tmp_path, "LVM", "--engine packer")


def test_btrfs_is_refused(tmp_path: Path) -> None:
    refused((Part(LINUX, 120, ("mkfs.btrfs", "-q")),), tmp_path, "btrfs", "--engine packer")


def test_a_disk_without_a_root_is_refused(tmp_path: Path) -> None:
    refused((Part(LINUX, 40, EXT4, boot), Part(LINUX, 40)), tmp_path, "no Linux root")


def test_links_in_mount_points_are_resolved_inside_the_image(tmp_path: Path) -> None:
    """A link to /outside is resolved to that folder in the image, not on this machine."""
    outside = tmp_path / "outside"
    outside.mkdir()

    def fill(root: Path) -> None:
        system("LABEL=data /away/data ext4 defaults 0 0\n", (f"{str(outside)[1:]}/data",))(root)
        (root / "away").symlink_to(outside)

    parts = (Part(ROOT, 40, EXT4, fill), Part(LINUX, 20, (*EXT4, "-L", "data"), boot))
    with opened(make(tmp_path / "disk.raw", parts), tmp_path / "root"):
        assert (tmp_path / "root" / str(outside)[1:] / "data/vmlinuz").exists()
    assert list(outside.iterdir()) == []


# --- enlarging ---------------------------------------------------------------------------------

SIZE = 1 << 30


def enlarged(disk: Path, where: Path) -> int:
    """Enlarge the disk as the chroot engine does; the size of the root file system in bytes."""
    growth.enlarge(disk, SIZE)
    growth.grow_unmounted(disk)
    with opened(disk, where) as mounted:
        growth.grow_mounted(disk, where)
        found = os.statvfs(where)
        assert (where / "etc/os-release").read_text() == "ID=el\n"
        finish(mounted)
    return found.f_blocks * found.f_frsize


@pytest.mark.parametrize("label", ["gpt", "dos"])
@pytest.mark.parametrize(("mkfs", "least"), [(EXT4, 0.8), (XFS, 0.8)], ids=["ext4", "xfs"])
def test_disk_root_and_file_system_are_enlarged(
    label: str, mkfs: tuple[str, ...], least: float, tmp_path: Path
) -> None:
    kind, other = (ROOT, BOOT) if label == "gpt" else ("83", "83")
    disk = make(
        tmp_path / "disk.raw", (Part(other, 40, EXT4, boot), Part(kind, 310, mkfs, system())), label
    )
    before = partitions(disk)
    assert enlarged(disk, tmp_path / "root") > least * SIZE
    after = partitions(disk)
    assert disk.stat().st_size == SIZE
    assert after[0] == before[0]
    assert replace(after[1], size=before[1].size) == before[1]
    assert "No errors detected." in call("sfdisk", "--verify", disk)


def test_enlarging_to_the_present_size_changes_nothing(tmp_path: Path) -> None:
    disk = make(tmp_path / "disk.raw", (Part(ROOT, 1022, EXT4, system()),))
    size = disk.stat().st_size
    growth.enlarge(disk, size)
    growth.grow_unmounted(disk)
    assert disk.stat().st_size == size
    with opened(disk, tmp_path / "root"):
        assert (tmp_path / "root/etc/os-release").exists()


@pytest.mark.parametrize(
    ("parts", "size", "says"),
    [
        ((Part(ROOT, 40, EXT4, system()),), 20 << 20, "is smaller than the disk of the base, 0.04 GiB"),
        ((Part(ROOT, 40, EXT4, system()), Part(LINUX, 20)), SIZE, "has no known file system"),
        ((Part(BOOT, 40, EXT4, boot), Part(LVM, 40, content=lvm_label())), SIZE, "has LVM2_member"),
        ((Part(ROOT, 40, EXT4, system()), Part(LINUX, 20, EXT4)), SIZE, "but is not the largest"),
    ],
    ids=["smaller", "another-last", "lvm", "not-the-root"],
)
def test_what_cannot_be_enlarged_is_refused_and_unchanged(
    parts: tuple[Part, ...], size: int, says: str, tmp_path: Path
) -> None:
    disk = make(tmp_path / "disk.raw", parts)
    before = partitions(disk), disk.stat().st_size
    with pytest.raises(BadInput, match=says):
        growth.enlarge(disk, size)
    assert (partitions(disk), disk.stat().st_size) == before


# --- the EFI system partition ------------------------------------------------------------------


def test_an_efi_partition_that_fstab_does_not_name_is_mounted_if_asked(tmp_path: Path) -> None:
    parts = (Part(ESP, 34, VFAT), Part(ROOT, 40, EXT4, system("", ("efi", "boot"))))
    disk = make(tmp_path / "disk.raw", parts)
    call("mcopy", "-i", f"{disk}@@1M", "-", "::grub.cfg", stdin="before")
    with opened(disk, tmp_path / "plain"):
        assert list((tmp_path / "plain/efi").iterdir()) == []
    where = tmp_path / "root"
    where.mkdir()
    try:
        mounted = mount_root(disk, where, boot_loader=True)
        assert (where / "efi/grub.cfg").read_text() == "before"
        (where / "efi/grub.cfg").write_text("after")
        finish(mounted)
    finally:
        call("umount", "-R", where)
    assert call("mtype", "-i", f"{disk}@@1M", "::grub.cfg") == "after"
