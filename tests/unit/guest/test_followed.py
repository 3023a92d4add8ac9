"""Is what HTCondor was told what the worker's file says now?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from worker_runtime import followed, settings
from worker_runtime.followed import Content, Reading, Taken

from tests.unit.guest.conftest import OSG


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed, "TAKEN", str(tmp_path / "taken.json"))
    monkeypatch.setattr(settings, "RUN", str(tmp_path))


def test_a_file_is_current_from_when_it_was_taken_up_until_it_changes(tmp_path: Path) -> None:
    kind = OSG._replace(file=str(tmp_path / "worker.conf"))
    assert followed.reading(kind) == Reading(Content(), None)
    Path(kind.file).write_text("Start = True\n")
    found = followed.reading(kind)
    assert (found.current, found.problems) == (False, ())
    followed.take(found.now, ["Token is missing"])
    assert followed.reading(kind).current
    assert followed.reading(kind).problems == ("Token is missing",)
    os.utime(kind.file, (1, 1))
    assert followed.reading(kind).current  # it says the same
    Path(kind.file).write_text("Start = False\n")
    found = followed.reading(kind)
    assert (found.current, found.problems, found.token_alone) == (False, (), False)
    Path(kind.file).write_text("Start = True\n")
    assert followed.reading(kind).current
    assert Path(followed.TAKEN).stat().st_mode & 0o777 == 0o600
    assert "Start" not in Path(followed.TAKEN).read_text()


def test_two_of_one_content_are_told_apart(tmp_path: Path) -> None:
    followed.take(Content("a", ""), ())
    first = followed.taken()
    followed.take(Content("a", ""), ())
    assert first != followed.taken()


def test_a_token_file_is_followed_too(tmp_path: Path) -> None:
    kind = OSG._replace(file=str(tmp_path / "worker.conf"))
    token = tmp_path / "token"
    Path(kind.file).write_text(f"TokenFile = {token}\n")
    followed.take(followed.reading(kind).now, ())
    assert followed.reading(kind).current
    token.write_text("a.b.c")
    found = followed.reading(kind)
    assert found.token_alone
    said = followed.pending(kind, found, followed.READS)
    assert said == f"the token file that {kind.file} names has changed, and is being read"


@pytest.mark.parametrize("raw", ["", "[]", "{}", '{"content": 1, "problems": [], "times": 1}', "\x80"])
def test_what_cannot_be_read_was_not_taken_up(raw: str) -> None:
    Path(followed.TAKEN).write_text(raw)
    assert followed.taken() is None


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Reading(Content(), None), "waiting for /etc/osg-worker.conf, which says whose jobs to run"),
        (Reading(Content("a"), None), "/etc/osg-worker.conf is there, and is to be read"),
        (Reading(Content("a"), Taken(Content(), ())), "/etc/osg-worker.conf is there, and is to be read"),
        (
            Reading(Content("a"), Taken(Content("b"), ())),
            "/etc/osg-worker.conf has changed, and is to be read",
        ),
        (Reading(Content("a"), Taken(Content("a"), ("x",))), ""),
    ],
)
def test_what_is_waited_for(found: Reading, said: str) -> None:
    assert followed.pending(OSG, found, "is to be read") == said


@pytest.mark.parametrize(
    ("service", "path", "boots", "said"),
    [
        ("activating", "active", False, followed.READS),
        ("inactive", "active", False, "is to be read"),
        ("failed", "active", False, "is to be read"),
        ("inactive", "inactive", True, "is to be read once the machine is up"),
        ("inactive", "inactive", False, followed.NOBODY),
        ("failed", "failed", False, followed.NOBODY),
    ],
)
def test_who_reads_it(service: str, path: str, boots: bool, said: str) -> None:
    assert followed.reader_of(service, path, boots) == said
