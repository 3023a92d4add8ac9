"""The choice of the directory for job files, which is pure; integration tests use real disks."""

from __future__ import annotations

from pathlib import Path

import pytest
from worker_runtime.jobs.storage import (
    BLOCK,
    DISK,
    EMPTY,
    GIB,
    MIN_SIZE,
    OURS,
    Disk,
    FileSystem,
    Option,
    config,
    configured_folder_exists,
    options,
    parse_content,
    samples,
    unused_disks,
)

FREE = 20 * GIB


def row(name: str, parent: str = "", kind: str = "disk", ro: int = 0, rm: int = 0, on: str = "") -> str:
    """A line of `lsblk -P -b`, with the columns that util-linux 2.23 of EL7 has."""
    return (
        f'KNAME="{name}" PKNAME="{parent}" TYPE="{kind}" SIZE="{50 * GIB}" '
        f'RO="{ro}" RM="{rm}" MOUNTPOINT="{on}"'
    )


def system(
    place: str, free: int, kind: str = "ext4", given: str = "rw", before: bool = False
) -> FileSystem:
    return FileSystem(place, kind, given.split(","), free, before)


def test_only_whole_fixed_disks_that_nobody_uses_are_looked_at() -> None:
    rows = [
        row("vda"), row("vda1", "vda", "part", on="/"), row("vdb"), row("nvme1n1"), row("xvdf"),
        row("sdaa"),
        row("vdc", on="/srv/my data"), row("vdd", on="[SWAP]"), row("vde", ro=1), row("sdb", rm=1),
        row("sdc"), row("dm-0", "sdc", "crypt"), row("sdd"), row("md127", "sdd", "raid1"),
        row("sr0", kind="rom", rm=1), row("loop0", kind="loop"), row("zram0"), row("nbd0"), row("rbd0"),
        row("fd0"), row("ram0"), row("nvme0n1p1", "nvme0n1", "part"), row("mmcblk0"),
    ]  # fmt: skip
    found = unused_disks("\n".join(rows) + "\n")
    assert [disk.path for disk in found] == ["/dev/vdb", "/dev/nvme1n1", "/dev/xvdf", "/dev/sdaa"]
    assert {(disk.size, disk.content) for disk in found} == {(50 * GIB, "unknown")}


def test_no_disk_no_option() -> None:
    assert unused_disks("") == []
    assert options([], [], FREE) == []


@pytest.mark.parametrize(
    ("size", "what", "free", "chosen"),
    [
        (50 * GIB, EMPTY, FREE, [Option("format", "/dev/vdb")]),
        (50 * GIB, OURS, FREE, [Option("mount", "/dev/vdb")]),
        (5 * GIB, OURS, FREE, [Option("mount", "/dev/vdb")]),
        (50 * GIB, "xfs", FREE, []),
        (50 * GIB, "unknown", FREE, []),
        (FREE, EMPTY, FREE, []),
        (MIN_SIZE - 1, EMPTY, 0, []),
        (MIN_SIZE, EMPTY, 0, [Option("format", "/dev/vdb")]),
    ],
)
def test_a_disk_is_taken_if_it_is_ours_or_empty_and_worth_it(
    size: int, what: str, free: int, chosen: list[Option]
) -> None:
    assert options([Disk("/dev/vdb", size, what)], [], free) == chosen


@pytest.mark.parametrize(
    ("mounted", "taken"),
    [
        (system("/mnt", 40 * GIB), True),
        (system("/mnt/resource", 40 * GIB, "xfs", "rw,relatime"), True),
        (system("/media/ephemeral0", 40 * GIB), True),
        (system("/mnt", 39 * GIB), False),  # not clearly more than at the default place
        (system("/mnt", 1 * GIB, before=True), True),
        (system("/mnt", 40 * GIB, "nfs4"), False),
        (system("/mnt", 40 * GIB, "tmpfs"), False),
        (system("/mnt", 40 * GIB, given="ro,relatime"), False),
        (system("/mnt", 40 * GIB, given="rw,noexec"), False),
        # People's data.
        (system("/home", 400 * GIB), False),
        (system("/media/volume/mine", 400 * GIB), False),
        (system("/mnt/a/b", 400 * GIB), False),
        (system("/mnt/$(X)", 400 * GIB), False),
        (system("/mntx", 400 * GIB), False),
    ],
)
def test_a_file_system_is_taken_where_clouds_mount_scratch(mounted: FileSystem, taken: bool) -> None:
    assert options([], [mounted], FREE) == ([Option("use", mounted.mount_point)] if taken else [])


def test_order() -> None:
    disks = [
        Disk("/dev/vdb", 50 * GIB, EMPTY), Disk("/dev/vdc", 90 * GIB, EMPTY),
        Disk("/dev/vdd", 30 * GIB, OURS), Disk("/dev/vde", 99 * GIB, "ext4"),
    ]  # fmt: skip
    mounted = [
        system("/mnt", 70 * GIB), system("/scratch", 80 * GIB), system("/mnt/b", 60 * GIB, before=True),
    ]  # fmt: skip
    assert [f"{option.verb} {option.what}" for option in options(disks, mounted, FREE)] == [
        "mount /dev/vdd", "format /dev/vdc", "format /dev/vdb",
        "use /mnt/b", "use /scratch", "use /mnt",
    ]  # fmt: skip
    assert options(disks, [*mounted, system(DISK, 0)], FREE) == [Option("use", DISK)]


@pytest.mark.parametrize(
    ("blkid", "what"),
    [
        ("DEVNAME=/dev/vdb\nLABEL=worker-execute\nUUID=1\nTYPE=ext4\nUSAGE=filesystem\n", OURS),
        ("DEVNAME=/dev/vdb\nLABEL=worker-execute\nTYPE=xfs\n", "xfs"),
        ("DEVNAME=/dev/vdb\nLABEL=mine\nTYPE=ext4\n", "ext4"),
        ("DEVNAME=/dev/vdb\nLABEL=worker-execute\nTYPE=ext4\nPTTYPE=dos\n", "ext4"),
        ("DEVNAME=/dev/vdb\nPTUUID=1\nPTTYPE=gpt\n", "a partition table"),
        ("DEVNAME=/dev/vdb\n", "a partition table"),
    ],
)
def test_what_blkid_says(blkid: str, what: str) -> None:
    assert parse_content(blkid) == what


@pytest.mark.parametrize("size", [BLOCK, 9 * GIB + 512, 10**13, 1])
def test_samples_are_within_the_disk_and_reach_both_ends(size: int) -> None:
    offsets = list(samples(size))
    assert (offsets[0], offsets[-1]) == (0, max(0, size - BLOCK))
    assert len(offsets) == 64 and offsets == sorted(offsets)


def test_config() -> None:
    assert config("/mnt/condor-execute").splitlines()[1:] == ["EXECUTE = /mnt/condor-execute"]
    assert config(None).splitlines()[1:] == ["RESERVED_DISK = 1024"]
    own = "EXECUTE = /home/prominence/condor"
    assert config("/mnt/condor-execute", "/home/prominence").splitlines()[1:] == [own]
    assert config(None, "/home/prominence").splitlines()[1:] == [own, "RESERVED_DISK = 1024"]


def test_a_place_that_is_gone_is_noticed(tmp_path: Path) -> None:
    written = tmp_path / "80-worker-storage.config"
    assert not configured_folder_exists(str(written))
    written.write_text(config(None))
    assert configured_folder_exists(str(written))
    written.write_text(config(str(tmp_path)))
    assert configured_folder_exists(str(written))
    written.write_text(config(str(tmp_path / "gone")))
    assert not configured_folder_exists(str(written))
