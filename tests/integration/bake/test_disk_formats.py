"""Every format of a disk, written from the image of the store, and read by other programs than ours."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bakery.description import files
from bakery.output import disks
from bakery.runtime import conditions, qemu_img
from bakery.store.store import description_path
from provisioner.process import run
from tests.conftest import BIN, Ended, command

MIB, GIB = 2**20, 2**30
# Nothing but its size on disk depends on the content: a small disk shows the same.
CONTENT = b"worker" * 100_000


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A qcow2 whose size is no whole number of MiB, with data at both ends."""
    disk, image = tmp_path / "source.raw", tmp_path / "source.qcow2"
    with disk.open("wb") as file:
        file.write(CONTENT)
        file.seek(3 * MIB + 512 - 6)
        file.write(b"ending")
    with qemu_img.compressed(disk, image):
        pass
    return image


def test_what_fails_while_an_image_is_compressed_leaves_none(tmp_path: Path) -> None:
    disk, image = tmp_path / "source.raw", tmp_path / "source.qcow2"
    disk.write_bytes(os.urandom(8 * MIB))
    with pytest.raises(KeyError), qemu_img.compressed(disk, image):
        raise KeyError
    assert not image.exists()


def bake(*argv: str) -> Ended:
    return command("bake-image", "--verify", "offline", "--json", *argv)


def info(image: Path, form: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        run.call(["qemu-img", "info", "-f", form, "--output=json", str(image)]).stdout
    )
    return found


def written(baked: dict[str, Any], folder: Path, form: str, suffix: str, *more: str) -> Path:
    """The image of the store in this format; the command's result describes the file."""
    target = folder / f"worker{suffix}"
    done = bake("--format", form, "-o", str(target), *more)
    assert done.status == 0, done.err[-3000:]
    result = json.loads(done.out)
    assert (result["path"], result["from_store"], result["id"]) == (str(target), True, baked["id"])
    assert result["size"] == target.stat().st_size
    with target.open("rb") as file:
        assert result["sha256"] == hashlib.file_digest(file, "sha256").hexdigest()
    beside = {description_path(target, one).name for one in (files.MANIFEST, files.SUMS)}
    assert {path.name for path in folder.iterdir()} == {target.name} | beside
    return target


def same(baked: dict[str, Any], target: Path, form: str) -> bool:
    return qemu_img.is_same(Path(baked["path"]), target, form)


def test_raw(baked: dict[str, Any], tmp_path: Path) -> None:
    target = written(baked, tmp_path, "raw", ".raw")
    assert target.stat().st_blocks * 512 < target.stat().st_size / 2  # with holes
    assert same(baked, target, "raw")


@pytest.mark.full
def test_compat_of_an_image(baked: dict[str, Any], tmp_path: Path) -> None:
    assert same(baked, written(baked, tmp_path, "qcow2", ".qcow2", "--compat"), "qcow2")


@pytest.mark.full
def test_vhd_of_an_image(baked: dict[str, Any], tmp_path: Path) -> None:
    assert same(baked, written(baked, tmp_path, "vhd", ".vhd"), "vpc")


@pytest.mark.full
def test_vmdk_of_an_image(baked: dict[str, Any], tmp_path: Path) -> None:
    target = written(baked, tmp_path, "vmdk", ".vmdk")
    assert info(target, "vmdk")["format-specific"]["data"]["create-type"] == "streamOptimized"
    assert same(baked, target, "vmdk")


@pytest.mark.full
def test_gce_of_an_image(baked: dict[str, Any], tmp_path: Path) -> None:
    target = written(baked, tmp_path, "gce", ".tar.gz")
    run.call(["tar", "-xzf", str(target), "-C", str(tmp_path)])
    assert same(baked, tmp_path / "disk.raw", "raw")


def test_compat(image: Path, tmp_path: Path) -> None:
    target = tmp_path / "worker.qcow2"
    disks.write(disks.OLD_QCOW2, image, target)
    assert info(target, "qcow2")["format-specific"]["data"]["compression-type"] == "zlib"
    incompatible = int.from_bytes(target.read_bytes()[72:80], "big")
    assert incompatible == 0  # QEMU refuses an image with a feature that it does not know
    assert qemu_img.is_same(image, target, "qcow2")


def test_vhd(image: Path, tmp_path: Path) -> None:
    """Azure: a fixed disk is the disk and 512 bytes; its size is a whole number of MiB."""
    target = tmp_path / "worker.vhd"
    disks.write(disks.FORMS["vhd"], image, target)
    footer = target.read_bytes()[-512:]
    assert footer.startswith(b"conectix")
    assert int.from_bytes(footer[60:64], "big") == 2  # a fixed disk
    size = int.from_bytes(footer[48:56], "big")  # current size
    assert (size, target.stat().st_size) == (4 * MIB, 4 * MIB + 512)
    assert qemu_img.is_same(image, target, "vpc")


def test_vmdk(image: Path, tmp_path: Path) -> None:
    target = tmp_path / "worker.vmdk"
    disks.write(disks.FORMS["vmdk"], image, target)
    assert target.read_bytes().startswith(b"KDMV")
    assert info(target, "vmdk")["format-specific"]["data"]["create-type"] == "streamOptimized"
    assert b'ddb.adapterType = "lsilogic"' in target.read_bytes()
    assert qemu_img.is_same(image, target, "vmdk")


def test_gce(image: Path, tmp_path: Path) -> None:
    """Compute Engine: one member disk.raw, a whole number of GiB, in the old GNU format."""
    target, unpacked = tmp_path / "worker.tar.gz", tmp_path / "unpacked"
    unpacked.mkdir()
    disks.write(disks.FORMS["gce"], image, target)
    listed = run.call(["tar", "-tvzf", str(target)]).stdout.split()
    assert (listed[0], listed[1], int(listed[2]), listed[-1]) == (
        "-rw-r--r--",
        "root/root",
        GIB,
        "disk.raw",
    )
    plain = subprocess.run(["gzip", "-dc", str(target)], capture_output=True, check=True).stdout
    assert plain[257:265] == b"ustar  \0"  # the magic of the GNU format; POSIX has ustar\0
    run.call(["tar", "-xzf", str(target), "-C", str(unpacked)])
    assert qemu_img.is_same(image, unpacked / "disk.raw", "raw")
    first = target.read_bytes()
    disks.write(disks.FORMS["gce"], image, target)
    assert target.read_bytes() == first


def test_a_killed_bake_leaves_no_part(baked: dict[str, Any], tmp_path: Path) -> None:
    target = tmp_path / "worker.vmdk"
    argv = [
        str(BIN / "bake-image"),
        *("--verify", "offline", "--json", "--format", "vmdk", "-o", str(target)),
    ]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if "write the image as vmdk" in line:
                break
        process.send_signal(signal.SIGKILL)
    conditions.wait_until("no file is left", lambda: list(tmp_path.iterdir()), list[Path]().__eq__, 60)
