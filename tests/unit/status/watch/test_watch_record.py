"""Lines of a record, and its file."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bakery.status import record, record_file
from bakery.status.record import Entry, NotARecord, Seen
from bakery.status.workers import Worker
from provisioner.errors import BadInput, DiskFull
from tests.unit.status.watch.examples import GROUPS, HOSTILE, NOW, busy, worker

OF = 'WorkerGroupName == "W"'
ENTRY = record.answered([busy("a", "1.0"), worker("b")], OF, NOW, 5.0)
FAILED = record.failed("No answer.", OF, NOW + 5, 5.0)


def test_lines_are_as_documented() -> None:
    [line] = record.line_of(ENTRY).splitlines()
    assert line.startswith(
        b'{"record":1,"time":1795900000.0,"of":"WorkerGroupName == \\"W\\"","every":5.0,'
    )
    assert line.endswith(b'"workers":[["a","busy",1,2,1],["b","idle",0,1,0]]}')
    assert record.line_of(FAILED) == (
        b'{"record":1,"time":1795900005.0,"of":"WorkerGroupName == \\"W\\"","every":5.0,'
        b'"failed":"No answer."}\n'
    )
    assert record.parse(record.line_of(FAILED)) == FAILED


@given(GROUPS, st.floats(0, 2e11), st.one_of(st.none(), st.floats(1, 1e6)))
def test_any_workers_come_back(workers: tuple[Worker, ...], now: float, every: float | None) -> None:
    entry = record.answered(workers, OF, now, every)
    line = record.line_of(entry)
    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
    assert record.parse(line) == entry
    assert entry.totals["workers"] == len(workers)


def test_a_reason_is_one_printable_line() -> None:
    found = record.failed(HOSTILE, OF, NOW, None)
    assert found.failed.isprintable()
    assert found.workers is None


@given(st.integers(0, len(record.line_of(ENTRY)) - 2))
def test_a_line_that_was_partly_written_is_none(length: int) -> None:
    assert record.parse(record.line_of(ENTRY)[:length]) is None


def test_later_versions_may_add_keys_and_elements() -> None:
    line = record.line_of(ENTRY).replace(
        b'"workers":[["a","busy",1,2,1]', b'"new":[1],"workers":[["a","busy",1,2,1,"x"]'
    )
    found = record.parse(line)
    assert found and found.workers and found.workers[0] == Seen("a", "busy", 1, 2, 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"node-1 idle", "does not begin with"),
        (b'{"time":1}', "does not begin with"),
        (b'{"record":2,"time":1,"of":"x"}', "later version"),
        (b'{"record":99,"when":"2026"}', "later version"),
        (b'{"record":1,"time":"x","of":"x"}', r"\$.time"),
        (b'{"record":1,"time":-1,"of":"x"}', r"\$.time"),
        (b'{"record":1,"time":1e300,"of":"x"}', r"\$.time"),
        (b'{"record":1,"of":"x"}', "missing required field"),
        (b'{"record":1,"time":1,"of":"x","workers":[["a"]]}', r"\$.workers"),
        (b'{"record":1,"time":1,"of":"x","totals":{"jobs":-4}}', r"\$.totals"),
        (b'{"record":' + b"9" * 5000 + b"}", "."),
    ],
)
def test_lines_of_something_else(line: bytes, reason: str) -> None:
    with pytest.raises(NotARecord, match=reason):
        record.parse(line)


@given(st.one_of(st.binary(max_size=60), st.binary(max_size=40).map(b'{"record":1,'.__add__)))
def test_any_bytes_are_an_entry_or_torn_or_no_record(line: bytes) -> None:
    try:
        found = record.parse(line)
    except NotARecord:
        return
    assert found is None or isinstance(found, Entry)


# --- the file ----------------------------------------------------------------------------------


def test_a_file_grows_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    record_file.check(path, OF)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"", 0o600)
    assert record_file.read(path) == ([], 0)
    record_file.append(path, ENTRY)
    record_file.append(path, FAILED)
    assert record_file.read(path) == ([ENTRY, FAILED], 0)
    record_file.check(path, OF)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.integers(1, len(record.line_of(ENTRY)) - 2)), max_size=6))
def test_torn_lines(tmp_path: Path, lines: list[tuple[bool, int]]) -> None:
    """A killed process leaves part of a line; what others append is on lines of its own."""
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"")
    torn = 0
    for is_torn, length in lines:
        if is_torn:
            with path.open("ab") as file:
                file.write(record.line_of(ENTRY)[:length])
            torn += 1
        record_file.append(path, FAILED)
    assert record_file.read(path) == ([FAILED] * len(lines), torn)


def test_the_record_of_other_workers(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    record_file.append(path, ENTRY)
    before = path.read_bytes()
    words = "is the record of other workers: WorkerGroupName"
    with pytest.raises(BadInput, match=words):
        record_file.check(path, 'WorkerGroupName == "V"')
    with pytest.raises(BadInput, match=words):
        record_file.append(path, record.failed("", f"other {HOSTILE}", NOW, None))
    assert path.read_bytes() == before
    # Also if the first line was only partly written.
    path.write_bytes(before[:30] + b"\n" + before)
    with pytest.raises(BadInput, match="other workers"):
        record_file.check(path, "other")


def test_a_file_of_something_else(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    with pytest.raises(BadInput, match=r"notes.txt is not a record of status: line 1: it does not begin"):
        record_file.append(path, ENTRY)
    assert path.read_text() == "my notes\n"
    path.write_bytes(record.line_of(ENTRY) + b"my notes\n")
    with pytest.raises(BadInput, match="line 2: it does not begin"):
        record_file.read(path)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, words in (
        (tmp_path, "Is a directory"),
        (tmp_path / "no" / "r.jsonl", "No such file or directory"),
        (fifo, "is not a regular file"),
        (Path("/dev/null"), "is not a regular file"),
    ):
        with pytest.raises(BadInput, match=words):
            record_file.check(path, OF)
    with pytest.raises(BadInput, match="No such file"):
        record_file.read(tmp_path / "missing")
    with pytest.raises(BadInput, match="Is a directory"):
        record_file.read(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_leaves_no_part_of_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "r.jsonl"
    record_file.append(path, ENTRY)
    write = os.write

    def full(handle: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(number, os.strerror(number))
        return write(handle, data[:-20])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(DiskFull, match=r"Cannot write .*r.jsonl: .*Free some disk space"):
        record_file.append(path, ENTRY)
    assert path.read_bytes() == record.line_of(ENTRY)


def test_a_write_that_the_system_divides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:7]))
    record_file.append(tmp_path / "r.jsonl", ENTRY)
    monkeypatch.undo()
    assert record_file.read(tmp_path / "r.jsonl") == ([ENTRY], 0)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(BadInput, match=r"Cannot use .*r.jsonl: Permission denied"):
        record_file.check(tmp_path / "r.jsonl", OF)


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_file, "_LONGEST", 1000)
    path = tmp_path / "r.jsonl"
    path.write_bytes(bytes(5000))
    with pytest.raises(BadInput, match="line 1: it does not begin"):
        record_file.read(path)


def test_a_device_without_end() -> None:
    with pytest.raises(BadInput, match="/dev/zero is a device"):
        record_file.read(Path("/dev/zero"))


def test_warnings_of_torn_lines() -> None:
    assert record_file.torn_text(1) == "1 line of the record was only partly written, and left out."
    assert record_file.torn_text(2).startswith("2 lines of the record were")
