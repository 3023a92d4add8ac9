"""Digests of files, hexadecimal."""

from __future__ import annotations

import hashlib
from pathlib import Path


def of(path: Path, algorithm: str = "sha256") -> str:
    """Reads all of it; `algorithm` as hashlib names it."""
    with path.open("rb") as data:
        return hashlib.file_digest(data, algorithm).hexdigest()
