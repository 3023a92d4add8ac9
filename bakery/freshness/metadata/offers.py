"""What the metadata of a repository says, independent of its format."""

from __future__ import annotations

import bz2
import gzip
import lzma
from dataclasses import dataclass

from bakery.freshness.lock import Seen
from provisioner.errors import WrongChecksum
from provisioner.process import run


@dataclass(frozen=True)
class Offer:
    """A version of a package that a repository offers; `security` if it is a security update."""

    name: str
    architecture: str
    version: str
    security: bool = False


@dataclass(frozen=True)
class Head:
    """The answer to a question for the metadata of a repository.

    `seen` describes it now; it is what was seen before if nothing `changed`. `security` is whether the
    repository is one of security updates.
    """

    seen: Seen
    changed: bool
    security: bool = False


def decompressed(content: bytes, path: str) -> bytes:
    """The content of an index by the suffix of its path. Raises WrongChecksum, MissingHere (zstd)."""
    try:
        if path.endswith(".xz"):
            return lzma.decompress(content)
        if path.endswith(".gz"):
            return gzip.decompress(content)
        if path.endswith(".bz2"):
            return bz2.decompress(content)
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise WrongChecksum(f"The package index {path} is damaged: {error}.") from None
    return _zstd(content) if path.endswith(".zst") else content


def _zstd(content: bytes) -> bytes:
    """Decompress with the program: the standard library of Python 3.11 has no zstd."""
    run.require("zstd")
    with run.temporary_folder() as folder:
        packed, plain = folder / "index.zst", folder / "index"
        packed.write_bytes(content)
        run.call(["zstd", "-q", "-d", str(packed), "-o", str(plain)])
        return plain.read_bytes()
