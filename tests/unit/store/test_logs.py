"""Log folders: their content, permissions and number."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.store import logs
from bakery.store.store import Store
from provisioner.errors import BadInput, CommandFailed, Interrupted, from_event, to_event
from provisioner.events import Event, keep_log, line, note, phase

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhQGIifQ.c2lnbmF0dXJl"


class Recorder:
    def __init__(self) -> None:
        self.events: list[str] = []

    def emit(self, event: Event) -> None:
        self.events.append(event["event"])


def fail(store: Store, recorder: Recorder) -> CommandFailed:
    with pytest.raises(CommandFailed) as caught, logs.record(store, "bake-x", recorder) as log:
        note(log, f"first {TOKEN}")
        with phase(log, "copy"):
            pass
        with phase(log, "condor: install condor"):
            line(log, "Setting up condor")
            raise CommandFailed("apt-get", 100, "E: no")
    return caught.value


def test_error_contains_the_phase_and_the_log_folder(tmp_path: Path) -> None:
    recorder = Recorder()
    error = fail(Store(tmp_path), recorder)
    assert error.where == "condor: install condor"
    assert str(error).endswith(f"\nWhere: condor: install condor\nLogs: {error.log}")
    text = (Path(error.log) / "events.log").read_text()
    rows = [row[10:] for row in text.splitlines()]
    assert rows[0] == "note: first [token]"
    assert "condor: install condor …" in rows and "    Setting up condor" in rows
    assert "error: `apt-get` exited with status 100. Its last lines:" in rows
    assert recorder.events == ["note", "begin", "end", "begin", "line"]
    again = from_event(to_event(error))
    assert (again.where, again.log) == (error.where, error.log)


def test_log_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    error = fail(Store(tmp_path), Recorder())
    for path in (Path(error.log), Path(error.log) / "events.log"):
        assert path.stat().st_mode & 0o077 == 0


def test_further_files_are_copied_without_secrets(tmp_path: Path) -> None:
    serial, recorder = tmp_path / "serial.log", Recorder()
    serial.write_text(f"login: {TOKEN}\n")
    with logs.record(Store(tmp_path / "cache"), "verify-x", recorder) as log, phase(log, "boot"):
        keep_log(log, serial)
        keep_log(log, tmp_path / "not-there.log")
    assert (log.folder / "serial.log").read_text() == "login: [token]\n"
    assert sorted(path.name for path in log.folder.iterdir()) == ["events.log", "serial.log"]
    assert recorder.events == ["begin", "end", "line"]  # the last one is the path, for --verbose


def test_without_a_phase_no_folder_is_created(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught, logs.record(Store(tmp_path), "bake-x", Recorder()) as log:
        note(log, "in the store already")
        raise BadInput("no")
    assert (caught.value.log, list(tmp_path.iterdir())) == ("", [])


def test_interrupted_bake_has_a_log(tmp_path: Path) -> None:
    with pytest.raises(Interrupted) as caught, logs.record(Store(tmp_path), "x", Recorder()) as log:
        log.emit({"event": "begin", "name": "compress"})
        raise Interrupted(2)
    assert caught.value.where == "compress" and caught.value.log


def test_oldest_logs_are_removed(tmp_path: Path) -> None:
    for _ in range(logs.MAX_FOLDERS + 3):
        fail(Store(tmp_path), Recorder())
    last = fail(Store(tmp_path), Recorder()).log
    kept = sorted((tmp_path / "logs").iterdir())
    assert (len(kept), str(kept[-1])) == (logs.MAX_FOLDERS, last)


def test_excess_output_is_omitted_but_events_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_BYTES", 2000)
    with logs.record(Store(tmp_path), "x", Recorder()) as log, phase(log, "loud"):
        for _ in range(100):
            line(log, "y" * 100)
    text = (log.folder / "events.log").read_text()
    assert len(text) < 3000
    assert "lines of output omitted …" in text and "loud: done in" in text


def test_unwritable_log_causes_one_warning_and_no_failure(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    recorder = Recorder()
    with logs.record(Store(tmp_path), "x", recorder) as log, phase(log, "a"), phase(log, "b"):
        pass
    assert recorder.events.count("warning") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
