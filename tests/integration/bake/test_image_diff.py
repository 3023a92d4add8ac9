"""worker-bakery diff on images, and on folders with all types of files."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import struct
from pathlib import Path
from typing import Any

import pytest

from bakery.imagediff.records import units
from bakery.imagediff.tree import Folder
from bakery.runtime import qemu_img
from provisioner.disk.file_systems import mount_root, wait_unmounted
from provisioner.process import run
from tests.conftest import command
from tests.integration.bake.test_bake import NOT_ROOT


def compare(a: object, b: object, status: int) -> dict[str, Any]:
    done = command("worker-bakery", "diff", "--json", str(a), str(b))
    assert done.status == status, done.err[-3000:]
    result: dict[str, Any] = json.loads(done.out)
    assert result["same"] is (status == 0)
    return result


def changes(result: dict[str, Any]) -> dict[str, Any]:
    """Return the reported changes by name."""
    return {one["name"]: one.get("changes", one["what"]) for one in result["differences"]}


# --- images ------------------------------------------------------------------------------------


def test_image_equals_itself(baked: dict[str, Any], image_root: Path) -> None:
    """Compare the image with the folder in which it is mounted."""
    result = compare(baked["path"], image_root, 0)
    assert (result["differences"], result["volatile"]) == ([], [])
    assert result["compared"]["files"] > 10_000
    assert result["compared"]["packages"] > 100


@pytest.fixture
def changed_image(baked: dict[str, Any], tmp_path: Path) -> Path:
    """A raw copy of the image with one change of each kind."""
    disk, root = tmp_path / "changed.raw", tmp_path / "root"
    qemu_img.to_raw(Path(baked["path"]), disk)
    root.mkdir()
    mount_root(disk, root)
    try:
        _change(root)
    finally:
        run.call(["umount", str(root)])
        wait_unmounted(disk)
    return disk


def _change(root: Path) -> None:
    (root / "usr/bin/env").chmod(0o4755)
    with (root / "usr/bin/bash").open("r+b") as file:
        file.seek(12345)
        byte = file.read(1)
        file.seek(12345)
        file.write(bytes([byte[0] ^ 1]))
    os.chown(root / "etc/hosts", 0, 4)
    (root / "etc/systemd/system/osg-worker.path").symlink_to("/dev/null")
    status = root / "var/lib/dpkg/status"
    head, _, tail = status.read_text().partition("Package: nftables\n")
    status.write_text(f"{head}Package: nftables\n{tail.replace('Version: ', 'Version: 9', 1)}")
    (root / "srv/two\nlines").touch()
    (root / "etc/machine-id").write_text("0" * 32 + "\n")
    run.call(["setcap", "cap_net_raw+ep", str(root / "usr/bin/cat")])


def test_every_change_of_an_image_is_reported(baked: dict[str, Any], changed_image: Path) -> None:
    result = compare(baked["path"], changed_image, 8)
    found = changes(result)
    status = found.pop("/var/lib/dpkg/status")
    assert status[0]["field"] == "size"
    version = found.pop(next(name for name in found if name.startswith("nftables:")))[0]
    assert (version["field"], version["b"]) == ("version", f"9{version['a']}")
    capability = found.pop("/usr/bin/cat")[0]
    assert (capability["field"], capability["a"]) == ("xattr security.capability", "")
    assert found == {
        "/usr/bin/env": [{"field": "mode", "a": "0755", "b": "4755"}],
        "/usr/bin/bash": [{"field": "content", "at": 12345}],
        "/etc/hosts": [{"field": "owner", "a": "0:0", "b": "0:4"}],
        "/etc/systemd/system/osg-worker.path": "added",
        "osg-worker.path": [{"field": "state", "a": "enabled", "b": "masked"}],
        "/srv/two\\x0alines": "added",
    }
    assert [one["name"] for one in result["volatile"]] == ["/etc/machine-id"]


def test_sizes_of_an_image(baked: dict[str, Any], image_root: Path, tmp_path: Path) -> None:
    """find and dpkg count the same."""
    done = command("worker-bakery", "diff", "--sizes", "--json", str(tmp_path), str(image_root))
    assert done.status == 0, done.err[-3000:]
    result = json.loads(done.out)
    found = run.call(["find", str(image_root), "-xdev", "-type", "f", "-printf", "%s\n"]).stdout.split()
    assert result["total"] == {
        "name": "all files",
        "a": 0,
        "b": sum(map(int, found)),
        "growth": sum(map(int, found)),
    }
    packages = {row["name"]: row["b"] for row in result["packages"]}
    listed = run.call(["chroot", str(image_root), "dpkg", "-L", "condor"]).stdout.split("\n")
    paths = [image_root / path.lstrip("/") for path in listed if path]
    own = sum(path.stat().st_size for path in paths if path.is_file() and not path.is_symlink())
    assert packages["condor"] == own
    assert result["directories"][0]["name"] == "/usr"


def test_sizes_of_an_image_and_its_root(baked: dict[str, Any], image_root: Path) -> None:
    done = command("worker-bakery", "diff", "--sizes", "--json", baked["path"], str(image_root))
    result = json.loads(done.out)
    assert (done.status, result["packages"], result["directories"]) == (0, [], [])
    assert result["total"]["growth"] == 0


def test_unit_states_equal_systemctl(image_root: Path) -> None:
    listed = run.call(["chroot", str(image_root), "systemctl", "list-unit-files", "--no-legend"]).stdout
    theirs = {name: state for name, state, *_ in map(str.split, listed.splitlines())}
    ours = {name: fields["state"] for name, fields in units(Folder(image_root)).items()}
    known = {name for name, state in theirs.items() if state in ("enabled", "disabled", "static", "masked")}
    assert len(known) > 100
    assert {name: ours.get(name) for name in known} == {name: theirs[name] for name in known}


# --- folders -----------------------------------------------------------------------------------


def with_all_file_types(root: Path) -> Path:
    for folder in ("dev", "deep"):
        (root / folder).mkdir(parents=True)
    os.mkfifo(root / "dev/fifo")
    os.mknod(root / "dev/null", 0o20666, os.makedev(1, 3))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "dev/socket"))
    (root / os.fsdecode(b"not \xff utf-8\n\x1b[31m")).write_bytes(b"x")
    (root / "out").symlink_to("/etc/shadow")
    os.link(root / "out", root / "again", follow_symlinks=False)
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b"an island")
    go_deep(root)
    return root


def test_special_files_do_not_block(tmp_path: Path) -> None:
    """A FIFO without writer, devices, a socket, names of arbitrary bytes, a sparse file of 1 TiB."""
    a, b = (with_all_file_types(tmp_path / name) for name in "ab")
    assert compare(a, b, 0)["compared"]["files"] > 600
    with (b / "sparse").open("r+b") as file:
        file.seek((1 << 39) + 3)
        file.write(b"I")
    (b / os.fsdecode(b"not \xff utf-8\n\x1b[31m")).write_bytes(b"y")
    assert changes(compare(a, b, 8)) == {
        "/sparse": [{"field": "content", "at": (1 << 39) + 3}],
        "/not \\xff utf-8\\x0a\\x1b[31m": [{"field": "content", "at": 0}],
    }


def go_deep(root: Path) -> None:
    """Create paths longer than PATH_MAX, 4096 bytes."""
    at = os.open(root / "deep", os.O_RDONLY)
    for _ in range(600):
        os.mkdir("folders", dir_fd=at)
        below = os.open("folders", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def test_links_do_not_lead_out_of_the_tree(tmp_path: Path) -> None:
    """An image's /etc/passwd may be a link to /etc/passwd, which is this machine's."""
    for name in "ab":
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "etc/passwd").symlink_to("/etc/passwd")
        (tmp_path / name / "var").symlink_to("/var")
    result = compare(tmp_path / "a", tmp_path / "b", 0)
    assert result["compared"] == {"packages": 0, "units": 0, "accounts": 0, "files": 3}


def test_text_report(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name / "var/log").mkdir(parents=True)
        (tmp_path / name / "var/log/syslog").write_text(name)
        (tmp_path / name / "file").write_text(name)
    done = command("worker-bakery", "diff", "-q", str(tmp_path / "a"), str(tmp_path / "b"))
    assert (done.status, done.out) == (8, "")
    assert "differ: nothing explains 1" in done.err
    done = command("worker-bakery", "diff", str(tmp_path / "a"), str(tmp_path / "b"))
    assert "changed  /file: content from byte 0" in done.out
    assert "1  logs" in done.out
    assert "syslog" not in done.out
    done = command("worker-bakery", "diff", "--all", str(tmp_path / "a"), str(tmp_path / "b"))
    assert "changed  /var/log/syslog: content from byte 0 (logs)" in done.out


SPEC = """\
Name: {name}
Version: {version}
Release: 1
{epoch}
Summary: Made for a test
License: none
BuildArch: noarch
%description
Made for a test.
%files
"""


def rpm_package(folder: Path, name: str, version: str, epoch: str = "") -> Path:
    spec = folder / "package.spec"
    spec.write_text(SPEC.format(name=name, version=version, epoch=epoch))
    defines = ("--define", f"_topdir {folder}", "--define", "_rpmfilename %{NAME}-%{VERSION}.rpm")
    run.call(["rpmbuild", "--quiet", "-bb", *defines, str(spec)])
    return folder / f"RPMS/{name}-{version}.rpm"


def with_packages(root: Path, *packages: Path) -> Path:
    """Create an rpm database with these packages and nothing else."""
    database = root / "var/lib/rpm"
    database.mkdir(parents=True)
    just = ("--justdb", "--nodeps", "--oldpackage")
    run.call(["rpm", "--dbpath", str(database), "-i", *just, *map(str, packages)])
    return root


def to_berkeley_db(root: Path) -> Path:
    """Convert the database to a hash as in EL7 and EL8; its key 0 is the last package number."""
    file = root / "var/lib/rpm/rpmdb.sqlite"
    with sqlite3.connect(file) as database:
        rows = database.execute("SELECT hnum, blob FROM Packages").fetchall()
    entries = [(0, struct.pack("<I", max(number for number, _ in rows))), *rows]
    pairs = [f" {struct.pack('<I', number).hex()}\n {blob.hex()}\n" for number, blob in entries]
    dump = root.with_suffix(".dump")
    dump.write_text(f"VERSION=3\nformat=bytevalue\ntype=hash\nHEADER=END\n{''.join(pairs)}DATA=END\n")
    for old in file.parent.iterdir():
        old.unlink()
    run.call(["db5.3_load", "-f", str(dump), str(file.with_name("Packages"))])
    return root


def test_rpm_packages_of_sqlite_and_berkeley_db(tmp_path: Path) -> None:
    old, new = (rpm_package(tmp_path / name, "kernel", name) for name in folders(tmp_path, "1", "2"))
    one = rpm_package(tmp_path / "1", "one", "1")
    two = rpm_package(tmp_path / "2", "two", "2", "Epoch: 3")
    a = to_berkeley_db(with_packages(tmp_path / "a", old, one))
    before = sorted(path.name for path in a.rglob("*"))
    b = with_packages(tmp_path / "b", old, new, one, two)
    found = {
        name: reported
        for name, reported in changes(compare(a, b, 8)).items()
        if not name.startswith("/var/lib/rpm/")
    }
    assert found == {
        "kernel.noarch": [{"field": "version", "a": "1-1", "b": "1-1 2-1"}],
        "two.noarch": "added",
    }
    assert sorted(path.name for path in a.rglob("*")) == before


def folders(at: Path, *names: str) -> tuple[str, ...]:
    for name in names:
        (at / name).mkdir()
    return names


def test_unreadable_rpm_database(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name / "var/lib/rpm").mkdir(parents=True)
        (tmp_path / name / "var/lib/rpm/rpmdb.sqlite").write_text(name)
    done = command("worker-bakery", "diff", str(tmp_path / "a"), str(tmp_path / "b"))
    assert (done.status, "rpm cannot read the image's packages" in done.err) == (2, True), done.err
    assert (tmp_path / "a/var/lib/rpm/rpmdb.sqlite").read_text() == "a"


# --- errors --------------------------------------------------------------


def test_invalid_images(baked: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a disk")
    cut = tmp_path / "cut.qcow2"
    with Path(baked["path"]).open("rb") as whole:
        cut.write_bytes(whole.read(1 << 20))
    for wrong, says in (
        ("notes.txt", "partition table"),
        ("cut.qcow2", "Cannot mount"),
        ("none", "neither"),
    ):
        done = command("worker-bakery", "diff", str(tmp_path / wrong), str(tmp_path))
        assert (done.status, says in done.err) == (2, True), done.err


def test_images_require_root_and_folders_do_not(baked: dict[str, Any], tmp_path: Path) -> None:
    done = command("worker-bakery", "diff", baked["path"], str(tmp_path), prefix=NOT_ROOT)
    assert (done.status, "requires root" in done.err) == (3, True), done.err
    (tmp_path / "secret").mkdir(mode=0o700)
    plain = ("setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=+dac_read_search")
    done = command(
        "worker-bakery",
        "diff",
        str(tmp_path),
        str(tmp_path),
        prefix=(*plain, "--ambient-caps=+dac_read_search"),
    )
    assert done.status == 0, done.err
