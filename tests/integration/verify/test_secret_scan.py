"""Secrets in a disk are found wherever they are: in files, in deleted files, between and behind files."""

from __future__ import annotations

import fcntl
import os
import re
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bakery.runtime import qemu_img
from bakery.verify.secrets import scan
from provisioner.disk.file_systems import partitions, root_candidates, wait_unmounted
from tests import secrets_of_tests as made
from tests.conftest import Folders, command
from tests.shapes import ESP, MIB, ROOT, Part, call, make, mounted

_FIEMAP = 0xC020660B  # FS_IOC_FIEMAP, linux/fiemap.h


def start_of_root(disk: Path) -> int:
    return root_candidates(partitions(disk))[0].start


def open_root(disk: Path) -> Any:
    """The root file system, mounted so that the blocks of deleted files keep their content."""
    options = f"loop,offset={start_of_root(disk)},nodiscard"
    return mounted("-o", options, disk, where=disk.with_suffix(".mounted"))


def offset_of(path: Path) -> int:
    """The offset of the first byte of a file on its file system."""
    with path.open("rb") as opened:
        os.fsync(opened.fileno())
        answer = bytearray(struct.pack("=QQLLLL", 0, 1 << 62, 1, 0, 1, 0) + bytes(56))
        fcntl.ioctl(opened.fileno(), _FIEMAP, answer)
    return int(struct.unpack_from("=QQ", answer, 32)[1])


def write_at(disk: Path, offset: int, data: bytes) -> None:
    with disk.open("r+b") as opened:
        opened.seek(offset)
        opened.write(data)


def deleted(root: Path, name: str, content: bytes) -> None:
    """Write a file and delete it; its blocks are on the disk then."""
    path = root / name
    path.write_bytes(content)
    with path.open("rb") as opened:
        os.fsync(opened.fileno())
    path.unlink()


def test_each_place_of_a_disk_is_searched(root_only: None, tmp_path: Path) -> None:
    def system(root: Path) -> None:
        (root / "etc").mkdir()
        (root / "etc/os-release").write_text("ID=debian\n")
        (root / "short").write_text("a short file")

    esp = Part(ESP, 34, ("mkfs.vfat",))
    disk = make(tmp_path / "disk.raw", (esp, Part(ROOT, 60, ("mkfs.ext4", "-q"), system)))
    secret = {name: made.token(name) for name in ("gap", "slack", "vfat", "deleted", "end", "file")}
    start = start_of_root(disk)
    with open_root(disk) as root:
        slack = start + offset_of(root / "short") + 1000
        deleted(root, "gone", bytes(300) + secret["deleted"])
        (root / "etc/file").write_bytes(secret["file"])
    wait_unmounted(disk)
    call("mcopy", "-i", f"{disk}@@1M", "-", "::grub.cfg", stdin=secret["vfat"].decode())
    call("mdel", "-i", f"{disk}@@1M", "::grub.cfg")
    places = {"gap": MIB // 2, "slack": slack, "end": disk.stat().st_size - MIB // 2}
    for name, at in places.items():
        write_at(disk, at, secret[name])
    with open_root(disk) as root:
        found = scan.scan(root, disk).findings
    assert {each.kind for each in found} == {"a token (JWT)"}
    found_at = [each.place for each in found]
    assert len(found_at) == len(secret) and "/etc/file" in found_at
    for at in places.values():
        assert f"byte offset {at} of the raw disk, in no file" in found_at


# Where a secret may be, by its path in a worker image, and what it is there: contents decide, not names.
DIRT: Mapping[str, tuple[str, bytes]] = {
    "etc/apt/apt.conf.d/99x": ("a proxy of the build host", b'Acquire::http::Proxy "http://10.9.8.7:3142";\n'),
    "etc/profile.d/site.sh": ("a proxy of the build host", b"export https_proxy=http://10.9.8.7:3128\n"),
    "opt/agent/settings": ("a token (JWT)", b"auth: " + made.token() + b"\n"),
    "etc/condor/.hidden": ("a token (JWT)", made.token()),
    "usr/share/doc/condor/notes": ("a private key", made.rsa_key()),
    "usr/lib/id": ("a private key", made.pem()),
    "var/backups/old": ("a password hash", made.password_hash()),
    "etc/cloud/cloud.cfg.d/99-installer.cfg": ("a password hash", made.password_hash("6")[5:]),
    "root/notes": ("an OpenStack password (clouds.yaml)", made.clouds_yaml()),
    "usr/local/etc/gce": ("a Google service account", made.service_account()),
    "srv/key": ("an AWS secret key", f"aws_secret_access_key={made.random(40)}\n".encode()),
    "usr/local/bin/login": ("an Azure client secret", b"export AZURE_CLIENT_SECRET=" + b"x" * 20 + b"\n"),
    "etc/pip.conf": ("a proxy of the build host", b"[global]\nproxy = http://10.9.8.7:3128\n"),
    "usr/local/share/keys": ("a public key of ssh", made.public_key() + b" packer@build\n"),
}  # fmt: skip


@pytest.fixture(scope="module")
def disk(baked: dict[str, Any], folders: Folders) -> Iterator[Path]:
    """A raw copy of the default image's disk."""
    path = folders("dirt") / "disk.raw"
    qemu_img.to_raw(Path(baked["path"]), path)
    yield path
    path.unlink()


def test_a_dirty_worker_image_is_refused_and_no_message_shows_a_secret(disk: Path) -> None:
    gone, modified = made.token("deleted"), made.token("modified")
    with open_root(disk) as root:
        for path, (_, content) in DIRT.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        with (root / "etc/condor/condor_config").open("ab") as conffile:
            conffile.write(b"\n# " + modified)
        deleted(root, "var/tmp/gone", gone)
    wait_unmounted(disk)
    done = command("worker-bakery", "verify", str(disk), "--level", "offline")
    assert done.status == 4, done.err[-3000:]
    places = {path: kind for path, (kind, _) in DIRT.items()} | {
        "etc/condor/condor_config": "a token (JWT)"
    }
    for path, kind in places.items():
        assert re.search(rf"^  {re.escape(kind)} of \d+ bytes: /{re.escape(path)}$", done.err, re.M), path
    assert f"a token (JWT) of {len(gone)} bytes: byte offset " in done.err
    assert "Where: level offline: no secret" in done.err
    for content in (gone, modified, *(content for _, content in DIRT.values())):
        assert content.strip().decode() not in done.out + done.err
