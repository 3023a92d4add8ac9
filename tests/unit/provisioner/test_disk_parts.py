"""Find the root partition, and the partitions in fstab. tests/integration mounts them."""

from __future__ import annotations

import pytest

from provisioner.disk.file_systems import (
    FstabEntry,
    Partition,
    find_partition,
    fstab_entries,
    root_candidates,
)

ROOT, LINUX, ESP = (
    "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
    "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
)


def part(number: int, kind: str, size: int, file_system: str, **tags: str) -> Partition:
    return Partition(number, number << 20, size, kind, file_system, frozenset(tags.items()))


DISK = (
    part(1, LINUX, 90, "ext4", UUID="aa-1", LABEL="cloudimg-rootfs", PARTUUID="bb-1"),
    part(14, "21686148-6449-6E6F-744E-656564454649", 4, ""),
    part(15, ESP, 10, "vfat", UUID="1234-abcd", LABEL="UEFI"),
    part(16, LINUX, 20, "xfs", LABEL="BOOT", PARTLABEL="a boot"),
)


def test_root_candidates_can_be_mounted_largest_first() -> None:
    assert [each.number for each in root_candidates(DISK)] == [1, 16]


def test_a_partition_of_root_type_precedes_larger_ones() -> None:
    small = part(3, ROOT, 5, "ext4")
    assert root_candidates((*DISK, small))[0] == small


@pytest.mark.parametrize(
    ("spec", "number"),
    [
        ("UUID=AA-1", 1),
        ("UUID=1234-ABCD", 15),
        ("LABEL=BOOT", 16),
        ('LABEL="BOOT"', 16),
        ("PARTLABEL=a boot", 16),
        ("PARTUUID=BB-1", 1),
        ("/dev/vda15", 15),
        ("/dev/nvme0n1p16", 16),
    ],
)
def test_device_fields_of_fstab(spec: str, number: int) -> None:
    found = find_partition(spec, DISK)
    assert found and found.number == number


@pytest.mark.parametrize(
    "spec", ["UUID=zz", "LABEL=boot", "LABEL=", "/dev/vda2", "/dev/vdb1", "tmpfs", "/dev/mapper/root", ""]
)
def test_other_devices_in_fstab(spec: str) -> None:
    assert find_partition(spec, DISK) is None


def test_outer_mount_points_precede_inner_ones() -> None:
    text = """
    # a comment
UUID=2 /boot/efi vfat umask=0077 0 2
UUID=1\t/boot  ext4 defaults 0 2
UUID=0 / xfs defaults 0 0
UUID=3 none swap sw 0 0
UUID=4 /swap swap sw 0 0
UUID=5 /my\\040data ext4 defaults
LABEL=x /../../etc ext4 defaults
proc
"""
    assert list(fstab_entries(text)) == [
        FstabEntry("UUID=1", "/boot"),
        FstabEntry("UUID=5", "/my data"),
        FstabEntry("UUID=2", "/boot/efi"),
    ]
