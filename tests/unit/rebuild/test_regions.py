"""Where two disks differ."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.freshness.lock import Lock, Package
from bakery.rebuild import rebuild, regions
from provisioner.disk.file_systems import Partition
from provisioner.errors import BakeryError

MIB = 1 << 20
PARTITIONS = (
    Partition(1, MIB, 2 * MIB, "ESP", "vfat", frozenset()),
    Partition(2, 3 * MIB, 2 * MIB, "ROOT", "ext4", frozenset()),
)


@pytest.fixture(autouse=True)
def table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "partitions", lambda _: PARTITIONS)


def disk(path: Path, *changes: int) -> Path:
    content = bytearray(6 * MIB)
    for at in changes:
        content[at] = 1
    path.write_bytes(content)
    return path


def test_equal_disks_have_no_region(tmp_path: Path) -> None:
    assert regions.differing(disk(tmp_path / "a"), disk(tmp_path / "b")) == []


def test_each_region_is_named_with_its_first_byte(tmp_path: Path) -> None:
    other = disk(tmp_path / "b", 5, 4 * MIB + 7, 4 * MIB + 9, 5 * MIB + 3)
    assert regions.differing(disk(tmp_path / "a"), other) == [
        f"partition 2 (ext4): from byte {4 * MIB + 7} of the disk",
        "outside of the partitions: from byte 5 of the disk",
    ]


def test_disks_of_different_sizes(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"")
    assert regions.differing(disk(tmp_path / "a"), tmp_path / "b") == [
        f"size of the disk: {6 * MIB} and 0 bytes"
    ]


# --- what an image needs to be baked again -----------------------------------------------------


def lock_of(system: str) -> Lock:
    packages = (Package("libc6", "amd64", "2.41-12"), Package("condor", "amd64", "23.9.6", "debian"))
    return Lock(system, "amd64", packages, ())  # type: ignore[arg-type]  # apt or rpm


def test_apt_installs_the_versions_of_the_lock() -> None:
    assert rebuild.pins(lock_of("apt")) == (
        "Package: condor\nPin: version 23.9.6\nPin-Priority: 1001\n\n"
        "Package: libc6\nPin: version 2.41-12\nPin-Priority: 1001\n"
    )
    assert rebuild.pins(lock_of("rpm")) == ""


def test_an_image_says_why_it_cannot_be_reproduced() -> None:
    with pytest.raises(BakeryError, match="not reproducible: xfs cannot be written") as caught:
        rebuild.tools_of({"reproducible": {"obstacle": "xfs cannot be written in a fixed order"}})
    assert caught.value.exit_code == 1
    with pytest.raises(BakeryError, match="baked by a version that writes other bytes"):
        rebuild.tools_of({})
