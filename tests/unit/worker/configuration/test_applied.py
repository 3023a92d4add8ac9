"""Whether HTCondor has been given what the worker's file says now."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from worker_runtime.configuration import applied
from worker_runtime.configuration.applied import Applied, FileStatus, Fingerprint
from worker_runtime.system import paths

from tests.unit.worker.conftest import OSG


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applied, "RECORD", str(tmp_path / "applied.json"))
    monkeypatch.setattr(paths, "RUN", str(tmp_path))


def test_a_file_is_current_from_when_it_was_taken_up_until_it_changes(tmp_path: Path) -> None:
    kind = OSG._replace(file=str(tmp_path / "worker.conf"))
    assert applied.file_status(kind) == FileStatus(Fingerprint(), None)
    Path(kind.file).write_text("Start = True\n")
    found = applied.file_status(kind)
    assert (found.current, found.problems) == (False, ())
    applied.record(found.now, ["Token is missing"])
    assert applied.file_status(kind).current
    assert applied.file_status(kind).problems == ("Token is missing",)
    os.utime(kind.file, (1, 1))
    assert applied.file_status(kind).current  # it says the same
    Path(kind.file).write_text("Start = False\n")
    found = applied.file_status(kind)
    assert (found.current, found.problems, found.only_token_changed) == (False, (), False)
    Path(kind.file).write_text("Start = True\n")
    assert applied.file_status(kind).current
    assert Path(applied.RECORD).stat().st_mode & 0o777 == 0o600
    assert "Start" not in Path(applied.RECORD).read_text()


def test_two_of_one_content_are_told_apart(tmp_path: Path) -> None:
    applied.record(Fingerprint("a", ""), ())
    first = applied.load()
    applied.record(Fingerprint("a", ""), ())
    assert first != applied.load()


def test_a_token_file_is_followed_too(tmp_path: Path) -> None:
    kind = OSG._replace(file=str(tmp_path / "worker.conf"))
    token = tmp_path / "token"
    Path(kind.file).write_text(f"TokenFile = {token}\n")
    applied.record(applied.file_status(kind).now, ())
    assert applied.file_status(kind).current
    token.write_text("a.b.c")
    found = applied.file_status(kind)
    assert found.only_token_changed
    said = applied.pending(kind, found, applied.BEING_READ)
    assert said == f"the token file that {kind.file} names has changed and is being read"


@pytest.mark.parametrize("raw", ["", "[]", "{}", '{"content": 1, "problems": [], "times": 1}', "\x80"])
def test_what_cannot_be_read_was_not_taken_up(raw: str) -> None:
    Path(applied.RECORD).write_text(raw)
    assert applied.load() is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (FileStatus(Fingerprint(), None), "waiting for /etc/osg-worker.conf (missing or empty)"),
        (FileStatus(Fingerprint("a"), None), "/etc/osg-worker.conf exists and will be read"),
        (
            FileStatus(Fingerprint("a"), Applied(Fingerprint(), ())),
            "/etc/osg-worker.conf exists and will be read",
        ),
        (
            FileStatus(Fingerprint("a"), Applied(Fingerprint("b"), ())),
            "/etc/osg-worker.conf has changed and will be read",
        ),
        (FileStatus(Fingerprint("a"), Applied(Fingerprint("a"), ("x",))), ""),
    ],
)
def test_what_is_waited_for(found: FileStatus, said: str) -> None:
    assert applied.pending(OSG, found, "will be read") == said


@pytest.mark.parametrize(
    ("service", "path", "boots", "said"),
    [
        ("activating", "active", False, applied.BEING_READ),
        ("inactive", "active", False, "will be read"),
        ("failed", "active", False, "will be read"),
        ("inactive", "inactive", True, "will be read when the machine has booted"),
        ("inactive", "inactive", False, applied.NOT_READ),
        ("failed", "failed", False, applied.NOT_READ),
    ],
)
def test_who_reads_it(service: str, path: str, boots: bool, said: str) -> None:
    assert applied.reader_state(service, path, boots) == said
