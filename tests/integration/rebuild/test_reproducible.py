"""The same content gives the same bytes: file systems written again, and bakes in two places."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bakery.imagediff import sandboxed
from bakery.publish.registry.publish import described
from bakery.store.store import Store
from provisioner.disk import ext4, rewrite
from provisioner.disk.file_systems import mount_root, partitions, save_copies, trim, wait_unmounted
from provisioner.events import Silent
from tests.conftest import BASE, Folders, command
from tests.integration.rebuild.another_clock import another_day
from tests.shapes import BOOT, ESP, ROOT, Part, call, make

DATE = 1_750_000_000
LATER = DATE + 86_400
SECRET = b"the content of a deleted file"
ROOT_UUID, BOOT_UUID = "8d5c7e21-3f64-4c0a-9a51-1c55c0a1d001", "8d5c7e21-3f64-4c0a-9a51-1c55c0a1d002"
FSTAB = f"""
UUID={ROOT_UUID} / ext4 defaults 0 0
UUID={BOOT_UUID} /boot ext4 defaults 0 0
LABEL=ESP /boot/efi vfat umask=0077 0 2
"""
_ACL = [(1, 6, 2**32 - 1), (2, 4, 1), (4, 4, 2**32 - 1), (16, 4, 2**32 - 1), (32, 4, 2**32 - 1)]


def system(root: Path) -> None:
    for folder in ("etc", "usr/bin", "usr/lib/many", "var/spool", "dev", "run"):
        (root / folder).mkdir(parents=True)
    (root / "etc/os-release").write_text("ID=debian\n")
    (root / "etc/fstab").write_text(FSTAB)


def many(root: Path) -> None:
    """Enough names that the folder has an index of their hashes."""
    for number in range(1000):
        (root / f"usr/lib/many/a file with the number {number}").write_text(str(number))


def special(root: Path) -> None:
    """Everything that a copy could lose."""
    ping, acl = root / "usr/bin/ping", struct.pack("<I", 2)
    ping.write_bytes(b"program" * 5000)
    ping.chmod(0o4755)
    subprocess.run(["setcap", "cap_net_raw+ep", ping], check=True)
    os.setxattr(ping, "security.selinux", b"system_u:object_r:ping_exec_t:s0\0")
    os.setxattr(ping, "user.long", bytes(range(256)) * 8)
    for entry in _ACL:
        acl += struct.pack("<HHI", *entry)
    os.setxattr(ping, "system.posix_acl_access", acl)
    (root / "usr/bin/a-second-name").hardlink_to(ping)
    (root / "usr/bin/symbolic").symlink_to("ping")
    (root / "usr/bin/long").symlink_to("x" * 200)
    os.chown(root / "usr/bin/symbolic", 70_000, 70_001, follow_symlinks=False)
    os.chown(root / "var/spool", 105, 106)
    (root / "var/spool").chmod(0o1777)
    os.mknod(root / "dev/null", 0o020666, os.makedev(1, 3))
    os.mknod(root / "dev/vda", 0o060660, os.makedev(253, 0))
    os.mkfifo(root / "run/fifo", 0o600)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(root / "run/socket"))


def sparse(root: Path) -> None:
    with (root / "var/sparse").open("wb") as file:
        file.seek(100 << 20)
        file.write(b"end")


def kernel(root: Path) -> None:
    (root / "boot/vmlinuz").write_bytes(bytes(range(256)) * 10_000)
    (root / "boot/efi/EFI").mkdir(parents=True)
    (root / "boot/efi/EFI/a loader.efi").write_bytes(b"loader" * 1000)


PARTS: Sequence[Callable[[Path], None]] = (many, special, sparse, kernel)


@contextmanager
def opened(disk: Path) -> Iterator[Any]:
    root = disk.with_suffix(".root")
    root.mkdir(exist_ok=True)
    mounted = mount_root(disk, root)
    try:
        yield root, mounted
    finally:
        call("umount", "-R", root)
        wait_unmounted(disk)


def write_again(disk: Path) -> str:
    """As provisioner/__main__.py does after the last step."""
    with opened(disk) as (_, mounted):
        save_copies(mounted, DATE)
        with rewrite.bound(mounted, disk.parent) as bound:
            obstacle = rewrite.rewrite(disk, bound, DATE)
            if obstacle:
                trim(bound)
    return obstacle


@pytest.fixture(scope="module")
def empty(root_only: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with EFI, /boot and root, and the folders for what is mounted."""

    def fill(root: Path) -> None:
        system(root)
        (root / "boot").mkdir()

    mkfs = ("mkfs.ext4", "-q")
    parts = (
        Part(ESP, 34, ("mkfs.vfat", "-F", "32", "-n", "ESP")),
        Part(BOOT, 60, (*mkfs, "-U", BOOT_UUID, "-m", "5"), lambda root: (root / "efi").mkdir()),
        Part(ROOT, 200, (*mkfs, "-b", "4096", "-U", ROOT_UUID, "-L", "root", "-m", "0"), fill),
    )
    return make(tmp_path_factory.mktemp("shape") / "empty.raw", parts)


def filled(empty: Path, disk: Path, parts: Sequence[Callable[[Path], None]]) -> Path:
    """A copy with this content, in the given order, in which other files were created and deleted."""
    call("cp", "--sparse=always", empty, disk)
    for partition in partitions(disk)[1:]:  # other hashes: another order of the names in a folder
        where = f"{disk}?offset={partition.start}"
        call("debugfs", "-w", "-R", "set_super_value hash_seed random", where)
    with opened(disk) as (root, mounted):
        for part in parts:
            for number in range(50):
                (root / f"usr/{number}").write_bytes(SECRET * 1000)
            part(root)
            for number in range(50):
                (root / f"usr/{number}").unlink()
        save_copies(mounted, DATE)
        trim(mounted)
    return disk


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def differences(a: Path, b: Path, store: Store) -> Sequence[str]:
    return [found.name for found in sandboxed.compare(a, b, store, Silent()).differences]


@pytest.fixture
def own_store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def test_the_same_content_gives_the_same_bytes_and_loses_nothing(
    empty: Path, tmp_path: Path, own_store: Store
) -> None:
    a = filled(empty, tmp_path / "a.raw", PARTS)
    b = filled(empty, tmp_path / "b.raw", PARTS[::-1])
    before = Path(shutil.copy(a, tmp_path / "before.raw"))
    assert digest(a) != digest(b)
    assert (write_again(a), write_again(b)) == ("", "")
    assert digest(a) == digest(b)
    assert differences(a, before, own_store) == []
    assert SECRET not in a.read_bytes()
    for partition in partitions(a)[1:]:
        device = tmp_path / "partition"
        call("dd", f"if={a}", f"of={device}", "bs=1M", f"skip={partition.start >> 20}", "status=none")
        call("truncate", "-s", str(partition.size), device)
        call("e2fsck", "-f", "-n", device)
    assert _shape(a) == _shape(before)
    with opened(a) as (root, _):
        assert (root / "usr/bin/ping").samefile(root / "usr/bin/a-second-name")
        assert (root / "var/sparse").stat().st_blocks * 512 < 1 << 20
        assert stat_times(root / "etc/fstab") == (DATE, DATE)


def test_the_same_bytes_with_the_programs_of_debian_13(
    empty: Path, image_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the image, whatever this machine has: e2fsprogs 1.47.2 reads other arguments than 1.47.0."""
    a, b = (filled(empty, tmp_path / f"{name}.raw", PARTS) for name in "ab")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ext4.TOOLS:
        loader = f"{image_root}/usr/lib64/ld-linux-x86-64.so.2 --argv0 {name}"
        libraries = f"--library-path {image_root}/usr/lib/x86_64-linux-gnu"
        (tools / name).write_text(
            f'#!/bin/sh\nexec {loader} {libraries} {image_root}/usr/sbin/{name} "$@"\n'
        )
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    assert " 1.47.2 " in call("sh", "-c", "debugfs -V 2>&1")
    before = _shape(a)
    assert (write_again(a), write_again(b)) == ("", "")
    assert digest(a) == digest(b)
    assert _shape(a) == before


def stat_times(path: Path) -> tuple[float, float]:
    return path.stat().st_mtime, path.stat().st_ctime


def _shape(disk: Path) -> Sequence[str]:
    """What debugfs prints about the file systems, but for their use."""
    kept = ("UUID", "volume name", "features", "options", "Inode", "Block", "Reserved", "journal size",
            "Errors", "Group", "size", "Flex")  # fmt: skip
    found = []
    for partition in partitions(disk)[1:]:
        rows = call("debugfs", "-R", "stats -h", f"{disk}?offset={partition.start}").splitlines()
        found += [row for row in rows if any(word in row.split(":")[0] for word in kept)]
    assert len(found) > 20
    return [row for row in found if "Journal features" not in row]


def test_an_unchanged_time_stays_and_a_later_one_becomes_the_date(empty: Path, tmp_path: Path) -> None:
    disk = filled(empty, tmp_path / "disk.raw", ())
    with opened(disk) as (root, _):
        os.utime(root / "etc/fstab", (1000, 1000))
        os.utime(root / "etc/os-release", (LATER, LATER))
    assert write_again(disk) == ""
    with opened(disk) as (root, _):
        assert (root / "etc/fstab").stat().st_mtime == 1000
        assert (root / "etc/os-release").stat().st_mtime == DATE


def test_a_file_that_depends_on_the_clock_changes_the_bytes_and_is_named(
    empty: Path, tmp_path: Path, own_store: Store
) -> None:
    disks = []
    for number in (1, 2):
        disk = filled(empty, tmp_path / f"{number}.raw", (many,))
        with opened(disk) as (root, _):
            (root / "etc/built").write_text(f"built in second {number}\n")
        assert write_again(disk) == ""
        disks.append(disk)
    assert digest(disks[0]) != digest(disks[1])
    assert differences(disks[0], disks[1], own_store) == ["/etc/built"]


def test_a_file_attribute_that_would_be_lost_is_an_obstacle(empty: Path, tmp_path: Path) -> None:
    disk = filled(empty, tmp_path / "disk.raw", ())
    with opened(disk) as (root, _):
        call("chattr", "+i", root / "etc/fstab")
    before = digest(disk)
    assert write_again(disk) == "the file /etc/fstab has the attribute i of chattr(1)"
    assert before
    with opened(disk) as (root, _):
        assert "i" in call("lsattr", root / "etc/fstab").split()[0]
        call("chattr", "-i", root / "etc/fstab")


def test_a_boot_loader_that_knows_blocks_is_an_obstacle(empty: Path, tmp_path: Path) -> None:
    disk = filled(empty, tmp_path / "disk.raw", ())
    with disk.open("r+b") as file:
        file.seek(0x5C)
        file.write(struct.pack("<Q", partitions(disk)[2].start // 512 + 100))
    assert "the boot loader reads blocks of partition 3" in write_again(disk)


def test_xfs_is_an_obstacle(root_only: None, tmp_path: Path) -> None:
    def fill(root: Path) -> None:
        (root / "etc").mkdir()
        (root / "etc/os-release").write_text("ID=el\n")

    disk = make(tmp_path / "el.raw", (Part(ROOT, 310, ("mkfs.xfs", "-q"), fill),))
    assert write_again(disk) == "xfs cannot be written in a fixed order"


# --- bakes -------------------------------------------------------------------------------------


def cache_with_base(store: Store, cache: Path) -> Path:
    """A cache with the base and the packages of the usual one, and nothing else."""
    (cache / "bases").mkdir(parents=True)
    base = store.base(BASE.id)
    for path in (base, base.with_suffix(".json")):
        shutil.copy2(path, cache / "bases" / path.name)
    shutil.copytree(store.packages("trixie"), cache / "packages/trixie")
    return cache


def bake(cache: Path, *more: str, prefix: Sequence[str] = (), **env: str) -> dict[str, Any]:
    argv = ("--verify", "none", "--checkpoints", "none", "--json", *more)
    done = command("bake-image", *argv, env={"WORKER_BAKERY_CACHE": str(cache), **env}, prefix=prefix)
    assert done.status == 0, done.err[-3000:]
    found: dict[str, Any] = json.loads(done.out)
    assert found["from_store"] is False
    return found


def test_a_rebuild_in_another_place_gives_the_same_bytes(
    baked: dict[str, Any], store: Store, folders: Folders
) -> None:
    """Other: folder, cache, day, umask, locale, time zone, number of processors."""
    here = bake(cache_with_base(store, folders("here") / "cache"))
    there = cache_with_base(store, folders("there") / "another cache")
    image = there / "images" / Path(here["path"]).name
    image.parent.mkdir()
    for suffix in (".qcow2", ".json"):
        shutil.copy2(Path(here["path"]).with_suffix(suffix), image.with_suffix(suffix))
    clock = another_day(folders("clock"))
    elsewhere = (*clock.prefix, "sh", "-c", 'umask 077; exec taskset -c 0 "$@"', "sh")
    place = {"WORKER_BAKERY_CACHE": str(there), "LC_ALL": "tr_TR.UTF-8", "TZ": "Pacific/Auckland"}
    env = {**place, **clock.env, "TMPDIR": str(folders("temporary"))}
    done = command("worker-bakery", "rebuild", image.stem, "--offline", "--json", env=env, prefix=elsewhere)
    assert done.status == 0, done.err[-3000:]
    # `env` begins the commands of apt.
    assert {"env", "systemctl"} <= set(clock.log.read_text().split()), "nothing ran with this clock"
    result = json.loads(done.out)
    assert (result["reproduced"], result["again"]) == (True, here["sha256"])
    manifest = json.loads(image.with_suffix(".json").read_text())
    assert manifest["reproducible"]["source_date"] > DATE
    assert manifest["reproduced"]["sha256"] == here["sha256"]


# Two bakes more; the files of an image are those of the disk above.
@pytest.mark.full
def test_a_container_image_has_the_same_digest_in_another_place(
    baked: dict[str, Any], store: Store, folders: Folders
) -> None:
    """The digest by which a registry names it, with the same differences."""
    kind = ("--worker", "osg", "--format", "oci")
    here = bake(cache_with_base(store, folders("here") / "cache"), *kind)
    clock, there = another_day(folders("clock")), cache_with_base(store, folders("there") / "another cache")
    elsewhere = (*clock.prefix, "sh", "-c", 'umask 077; exec taskset -c 0 "$@"', "sh")
    place = {"LC_ALL": "tr_TR.UTF-8", "TZ": "Pacific/Auckland", "TMPDIR": str(folders("temporary"))}
    again = bake(there, *kind, prefix=elsewhere, **place, **clock.env)
    assert "env" in clock.log.read_text().split(), "nothing ran with this clock"
    digests = {described(Path(one["path"]))["digest"] for one in (here, again)}
    assert len(digests) == 1
    assert here["sha256"] == again["sha256"]


DEFINITION = """\
base = "debian13"

[[commands]]
title = "write the time"
argv = ["sh", "-c", "date +%F >/etc/built"]
"""


@pytest.mark.full
def test_a_rebuild_names_what_depends_on_the_clock(
    baked: dict[str, Any], store: Store, folders: Folders
) -> None:
    cache, clock = cache_with_base(store, folders("clock") / "cache"), another_day(folders("later"))
    file = cache.parent / "clock.toml"
    file.write_text(DEFINITION)
    env = {"WORKER_BAKERY_CACHE": str(cache)}
    done = command("bake-image", str(file), "--verify", "none", "--json", env=env)
    assert done.status == 0, done.err[-3000:]
    argv = ("rebuild", json.loads(done.out)["path"], "--offline", "--json")
    done = command("worker-bakery", *argv, env={**env, **clock.env}, prefix=clock.prefix)
    assert done.status == 1, done.err[-3000:]
    result = json.loads(done.out)
    assert [one["name"] for one in result["differences"]] == ["/etc/built"]
    assert [region.split(":")[0] for region in result["regions"]] == ["partition 3 (ext4)"]
    assert "A step of the plan writes what depends on the time" in done.err
