"""Disks of any shape, made of files by the real mkfs programs; partition nodes are not needed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provisioner.disk.file_systems import wait_unmounted

MIB = 1 << 20
Fill = Callable[[Path], None]
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
ROOT = "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709"
LVM = "E6D6D379-F507-44C2-A23C-238F2A3DF928"
BOOT = "BC13C2FF-59E6-4262-A352-B275FD6F7172"


@dataclass(frozen=True)
class Part:
    """`mkfs` gets the file to work on as its last argument; `fill` puts files into the mounted result."""

    kind: str
    size: int  # MiB
    mkfs: Sequence[str] = ()
    fill: Fill | None = None
    name: str = ""
    content: bytes = b""  # instead of a file system
    uuid: str = ""  # of the partition


def call(*argv: str | Path, stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, check=True, capture_output=True, text=True)
    return done.stdout


def make(path: Path, parts: Sequence[Part], label: str = "gpt") -> Path:
    """Each partition begins where the one before it ends, the first after one MiB."""
    with path.open("wb") as disk:
        disk.truncate((2 + sum(part.size for part in parts)) * MIB)
    rows = [
        f"size={part.size}MiB, type={part.kind}"
        + (f', name="{part.name}"' if part.name else "")
        + (f", uuid={part.uuid}" if part.uuid else "")
        for part in parts
    ]
    call("sfdisk", "--quiet", path, stdin=f"label: {label}\nfirst-lba: 2048\n" + "\n".join(rows) + "\n")
    start = 1
    for part in parts:
        _write(path, start, part)
        start += part.size
    return path


def _write(disk: Path, start: int, part: Part) -> None:
    image = disk.with_suffix(f".part{start}")
    with image.open("wb") as out:
        out.write(part.content)
        out.truncate(part.size * MIB)
    if part.mkfs:
        call(*part.mkfs, image)
    if part.fill:
        with mounted("-o", "loop", image, where=disk.parent / "filling") as where:
            part.fill(where)
        wait_unmounted(image)
    call("dd", f"if={image}", f"of={disk}", "bs=1M", f"seek={start}", "conv=notrunc,sparse", "status=none")
    image.unlink()


@contextmanager
def mounted(*argv: str | Path, where: Path) -> Iterator[Path]:
    where.mkdir()
    call("mount", *argv, where)
    try:
        yield where
    finally:
        call("umount", "-R", where)
        where.rmdir()
