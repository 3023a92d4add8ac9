"""Formats of disks that the store does not keep: each is written from the stored qcow2, and read back.

vmdk  streamOptimized, which vSphere and Glance import (Glance's option vmdk_allowed_types)
vhd   fixed, and a whole number of MiB, as Azure demands (its page "Prepare a VHD for upload")
gce   a gzipped tar archive with disk.raw, a whole number of GiB, in the old format of GNU tar with sparse
      files, as Compute Engine demands (its page "Requirements to build custom images")
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

from bakery.output.commit import appearing
from bakery.runtime import qemu_img
from provisioner.errors import NotProven
from provisioner.process import run

_MIB, _GIB = 2**20, 2**30
_CHUNK = 2**22
_MEMBER = "disk.raw"


@dataclass(frozen=True)
class Form:
    """How qemu-img writes a disk.

    `driver` is QEMU's name of the format, `options` are those of `qemu-img convert`. The size of the disk
    is rounded up to a multiple of `unit` bytes. `archived`: the disk is the only member of an archive.
    """

    driver: str
    options: tuple[str, ...] = ()
    unit: int = 1
    archived: bool = False


OLD_QCOW2 = Form("qcow2", ("-c", "-o", "compression_type=zlib"))  # QEMU before 5.1 cannot read zstd
FORMS: Mapping[str, Form] = {
    "raw": Form("raw"),
    "vmdk": Form("vmdk", ("-o", "subformat=streamOptimized,adapter_type=lsilogic")),
    "vhd": Form("vpc", ("-o", "subformat=fixed,force_size=on"), unit=_MIB),
    "gce": Form("raw", unit=_GIB, archived=True),
}


def write(form: Form, image: Path, target: Path) -> None:
    """Write a qcow2 in another format to `target`, atomically, and compare what was written with it.

    Raises NotProven: they differ; BadInput, DiskFull, CommandFailed.
    """
    with TemporaryDirectory(prefix="worker-bakery-") as folder, appearing(target) as path:
        source = _rounded(form, image, Path(folder))
        if not form.archived:
            _convert(form, source, path)
            return
        with TemporaryFile(dir=target.parent) as unnamed:
            disk = Path(f"/proc/{os.getpid()}/fd/{unnamed.fileno()}")
            _convert(form, source, disk)
            _archive(disk, path)
            _check_archive(disk, path, target)


def _rounded(form: Form, image: Path, folder: Path) -> Path:
    """Return the image, or a layer over it whose size is a multiple of the unit."""
    size = qemu_img.virtual_size(image)
    wanted = -(-size // form.unit) * form.unit
    if size == wanted:
        return image
    layer = folder / "rounded.qcow2"
    qemu_img.overlay(image, layer, str(wanted))
    return layer


def _convert(form: Form, source: Path, path: Path) -> None:
    """Write the disk and read it back. Raises NotProven."""
    qemu_img.convert(source, path, form.driver, form.options)
    if not qemu_img.is_same(source, path, form.driver):
        raise NotProven(
            f"The disk that qemu-img wrote as {form.driver} differs from the image.",
            "Check the disk of this machine, and repeat the command.",
        )


def _archive(disk: Path, archive: Path) -> None:
    """GNU tar finds the holes; without names and times of this machine the archive is always the same."""
    argv = ["tar", "--create", "--format=oldgnu", "--sparse", "--dereference", "--absolute-names"]
    argv += [
        f"--transform=s|.*|{_MEMBER}|",
        "--owner=root:0",
        "--group=root:0",
        "--mode=0644",
        "--mtime=@0",
    ]
    run.call([*argv, "--mtime=@0", "--use-compress-program=gzip -n", f"--file={archive}", str(disk)])


def _check_archive(disk: Path, archive: Path, target: Path) -> None:
    with tarfile.open(archive, "r:gz") as opened, disk.open("rb") as expected:
        member = opened.extractfile(_MEMBER)
        if member is None or not _is_equal(member, expected):
            raise NotProven(
                f"The archive for {target} does not hold the disk of the image.",
                "Check the disk of this machine, and repeat the command.",
            )


def _is_equal(one: IO[bytes], other: IO[bytes]) -> bool:
    while mine := one.read(_CHUNK):
        if mine != other.read(len(mine)):
            return False
    return not other.read(1)
