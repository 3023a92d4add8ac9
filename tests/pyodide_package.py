"""A package with small files of Pyodide's names, which counts as the pinned one."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from bakery.page import runtime


def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "small.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name in runtime.FILES:
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(name)
            archive.addfile(entry, io.BytesIO(name.encode()))
    monkeypatch.setattr(runtime, "SHA512", hashlib.sha512(path.read_bytes()).hexdigest())
    return path
