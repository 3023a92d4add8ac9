"""A root directory as one layer: sorted, no time later than `epoch`, owners and xattrs kept.

One layer, not one for each role: the seal, which comes last, removes what the roles before it left, and a
layer can only hide what is in the one below it.
"""

from __future__ import annotations

import gzip
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from provisioner.process import run

# What belongs to the disk, to the kernel or to the time of running; the folders themselves stay.
_EXCLUDED = ("./lost+found", "./boot/*", "./dev/*", "./efi/*", "./proc/*", "./run/*", "./sys/*", "./tmp/*")
# Names and times that GNU tar would take from its own process and clock (tar(1), "Reproducibility").
_SAME_EACH_TIME = (
    "--format=posix",
    "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime",
    "--sort=name",
    "--numeric-owner",
    "--xattrs",
    "--xattrs-include=*",
)
_CHUNK = 1 << 20
_LEVEL = 4  # half the time of 6, and a twentieth larger


@dataclass(frozen=True)
class Layer:
    """`digest` is of the compressed file (sha256, hex), `diff_id` of the tar in it; `size` in bytes."""

    path: Path
    digest: str
    diff_id: str
    size: int


def epoch(root: Path) -> int:
    """SOURCE_DATE_EPOCH, else the date of the newest package, in seconds since 1970.

    Debian gives the files of a package the date of its changelog, and rpm that of its build; nothing of
    the bake's own day is in it.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdigit():
        return int(given)
    share = root / "usr/share"
    dated = [*share.glob("doc/*/copyright"), *share.glob("licenses/*/*")]
    return max((int(path.stat().st_mtime) for path in dated if path.is_file()), default=0)


def write(root: Path, work: Path, epoch: int) -> Layer:
    """The layer as a file in `work`. Raises CommandFailed, DiskFull."""
    plain, packed = work / "layer.tar", work / "layer.tar.gz"
    clamp = (f"--mtime=@{epoch}", "--clamp-mtime")
    excluded = [f"--exclude={pattern}" for pattern in _EXCLUDED]
    # Anchored, or the pattern would take away what has such a name deeper down.
    where = ["--anchored", *excluded, "--directory", str(root), "."]
    run.call(["tar", "--create", "--file", str(plain), *_SAME_EACH_TIME, *clamp, *where])
    diff_id = _compress(plain, packed)
    plain.unlink()
    return Layer(packed, sha256(packed), diff_id, packed.stat().st_size)


def _compress(plain: Path, packed: Path) -> str:
    """The sha256 of what was compressed."""
    digest = hashlib.sha256()
    with (
        plain.open("rb") as data,
        packed.open("wb") as out,
        # Neither a name nor a time in its header.
        gzip.GzipFile("", "wb", _LEVEL, out, mtime=0) as archive,
    ):
        while chunk := data.read(_CHUNK):
            digest.update(chunk)
            archive.write(chunk)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
