"""Files are private from their first byte and written atomically."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from worker_runtime.system import files


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_put_is_idempotent_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "token"
    assert files.put(str(path), b"one\n", 0o600)
    assert not files.put(str(path), b"one\n", 0o600)
    assert files.put(str(path), b"two\n", 0o600)
    assert path.read_bytes() == b"two\n" and mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_put_repairs_a_mode(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"one\n")
    path.chmod(0o644)
    assert files.put(str(path), b"one\n", 0o600)
    assert mode(path) == 0o600


def test_put_that_fails_leaves_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config"
    files.put(str(path), b"old", 0o644)

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        files.put(str(path), b"new", 0o644)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_the_umask_does_not_matter(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        files.put(str(tmp_path / "config"), b"x", 0o644)
    finally:
        os.umask(before)
    assert mode(tmp_path / "config") == 0o644


def test_settled_reads_no_file_as_none(tmp_path: Path) -> None:
    assert files.read_settled(str(tmp_path / "none")) is None


def test_settled_waits_for_a_writer_and_closes_the_file_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer writes a part whenever the reader waits."""
    path = tmp_path / "conf"
    path.write_text("")
    path.chmod(0o644)
    parts, waits = iter(["a", "b", "c"]), []

    def write_a_part(seconds: float) -> None:
        waits.append(seconds)
        with path.open("a") as file:
            file.write(next(parts, ""))

    monkeypatch.setattr(time, "sleep", write_a_part)
    assert files.read_settled(str(path)) == b"abc"
    assert waits == [files.SETTLED] * 4
    assert mode(path) == 0o600
