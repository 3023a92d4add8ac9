"""Digests of files, in hexadecimal."""

from __future__ import annotations

import hashlib
from pathlib import Path


def of(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest of a whole file; `algorithm` is a name that hashlib knows."""
    with path.open("rb") as data:
        return hashlib.file_digest(data, algorithm).hexdigest()
