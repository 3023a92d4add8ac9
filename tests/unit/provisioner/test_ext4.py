"""Parameters of ext file systems, as debugfs prints them, and the date of the newest package."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from provisioner import source_date
from provisioner.disk import ext4

HEADER = """\
Filesystem volume name:   root-x86-64
Last mounted on:          /tmp/work/root
Filesystem UUID:          062177b3-42b8-4240-88f1-0b25545bd8b0
Filesystem magic number:  0xEF53
Filesystem features:      has_journal ext_attr needs_recovery extent 64bit metadata_csum
Default mount options:    user_xattr acl
Errors behavior:          Remount read-only
Inode count:              262144
Block count:              1048576
Reserved block count:     52428
Block size:               4096
Inode size:	          256
Filesystem created:       Sun Nov 29 08:36:52 2026
Directories:              99
"""
JOURNAL = """\
debugfs: stat <8>
Inode: 8   Type: regular    Mode:  0600   Flags: 0x80000
Generation: 0    Version: 0x00000000:00000000
User:     0   Group:     0   Project:     0   Size: 67108864
File ACL: 0
"""
GROUPS = """\
Inode count:              60
Inodes per group:         20
 Group  0: block bitmap at 489, inode bitmap at 505, inode table at 521
           21854 free blocks, 6 free inodes, 99 used directories, 5 unused inodes
           [Checksum 0xc5a9]
 Group  1: block bitmap at 490, inode bitmap at 506, inode table at 1050
           1 free block, 1 free inode, 1 used directory, 1 unused inode
           [Block not init, Checksum 0x4d4e]
 Group  2: block bitmap at 491, inode bitmap at 507, inode table at 1579
           32768 free blocks, 20 free inodes, 0 used directories, 20 unused inodes
           [Inode not init, Block not init, Checksum 0xa95d]
"""


def test_the_parameters_of_a_file_system_are_read() -> None:
    shape = ext4.parse(HEADER + JOURNAL)
    assert (shape.uuid, shape.label) == ("062177b3-42b8-4240-88f1-0b25545bd8b0", "root-x86-64")
    assert shape.features == ("64bit", "ext_attr", "extent", "has_journal", "metadata_csum")
    assert shape.mount_options == ("user_xattr", "acl")
    assert (shape.block, shape.inode, shape.blocks, shape.inodes) == (4096, 256, 1048576, 262144)
    assert (shape.reserved, shape.journal, shape.errors) == (52428, 64 << 20, "remount-ro")


def test_the_journal_need_not_exist() -> None:
    assert ext4.parse(HEADER + JOURNAL.replace("67108864", "0")).journal == 0
    assert ext4.parse(HEADER).journal == 0


def test_no_label_is_an_empty_one() -> None:
    assert ext4.parse(HEADER.replace("root-x86-64", "<none>")).label == ""


def test_the_seed_of_hashes_depends_on_the_uuid_alone() -> None:
    shape = ext4.parse(HEADER + JOURNAL)
    assert shape.hash_seed == ext4.parse(HEADER.replace("root-x86-64", "other")).hash_seed
    assert shape.hash_seed != ext4.parse(HEADER.replace("062177b3", "162177b3")).hash_seed


def test_inodes_in_use_are_those_that_no_group_has_free() -> None:
    bitmaps = {505: 0b0101_1111_1111_1111, 506: 0b0111_1111_1111_1111_1111}
    used = ext4.used_inodes(GROUPS, lambda block: (bitmaps[block] | 1 << 60).to_bytes(64, "little"))
    assert list(used) == [2, 11, 12, 13, 15, *range(21, 40)]


# --- the date ----------------------------------------------------------------------------------


def package(root: Path, name: str, made: int, installed: int) -> None:
    info = root / "var/lib/dpkg/info"
    info.mkdir(parents=True, exist_ok=True)
    for suffix, when in (("md5sums", made), ("list", installed)):
        path = info / f"{name}.{suffix}"
        path.touch()
        os.utime(path, (when, when))


@pytest.fixture(autouse=True)
def no_date_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(source_date.VARIABLE, raising=False)


def test_the_date_is_that_of_the_newest_package_and_not_of_its_installation(tmp_path: Path) -> None:
    package(tmp_path, "python3.13", made=1000, installed=9000)
    package(tmp_path, "libc6:amd64", made=2000, installed=9001)
    assert source_date.of(tmp_path) == 2000


def test_checksums_that_dpkg_made_at_the_installation_have_no_date(tmp_path: Path) -> None:
    package(tmp_path, "condor", made=1000, installed=9000)
    package(tmp_path, "of-a-site", made=9000, installed=9000)
    assert source_date.of(tmp_path) == 1000


def test_the_user_s_date_replaces_that_of_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, "condor", made=1000, installed=9000)
    monkeypatch.setenv(source_date.VARIABLE, "1234")
    assert source_date.of(tmp_path) == 1234


def test_rpm_packages_have_the_times_of_their_licenses(tmp_path: Path) -> None:
    for name, when in (("bash", 3000), ("condor", 4000)):
        path = tmp_path / "usr/share/licenses" / name / "COPYING"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (when, when))
    assert source_date.of(tmp_path) == 4000


def test_without_packages_there_is_no_date(tmp_path: Path) -> None:
    assert source_date.of(tmp_path) == 0
