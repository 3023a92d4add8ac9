"""The kept logs: what is in them, who may read them, how many there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.store import logs
from bakery.store.store import Store
from provisioner.errors import BadInput, CommandFailed, Interrupted, from_event, to_event
from provisioner.events import Event, keep_log, line, note, phase

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhQGIifQ.c2lnbmF0dXJl"


class Heard:
    def __init__(self) -> None:
        self.events: list[str] = []

    def emit(self, event: Event) -> None:
        self.events.append(event["event"])


def fail(store: Store, heard: Heard) -> CommandFailed:
    with pytest.raises(CommandFailed) as caught, logs.kept(store, "bake-x", heard) as log:
        note(log, f"first {TOKEN}")
        with phase(log, "copy"):
            pass
        with phase(log, "condor: install condor"):
            line(log, "Setting up condor")
            raise CommandFailed("apt-get", 100, "E: no")
    return caught.value


def test_an_error_says_where_it_happened_and_where_the_log_is(tmp_path: Path) -> None:
    heard = Heard()
    error = fail(Store(tmp_path), heard)
    assert error.where == "condor: install condor"
    assert str(error).endswith(f"\nWhere: condor: install condor\nLogs: {error.log}")
    text = (Path(error.log) / "events.log").read_text()
    rows = [row[10:] for row in text.splitlines()]
    assert rows[0] == "note: first [token]"
    assert "condor: install condor …" in rows and "    Setting up condor" in rows
    assert "error: `apt-get` exited with status 100. Its last lines:" in rows
    assert heard.events == ["note", "begin", "end", "begin", "line"]
    again = from_event(to_event(error))
    assert (again.where, again.log) == (error.where, error.log)


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    error = fail(Store(tmp_path), Heard())
    for path in (Path(error.log), Path(error.log) / "events.log"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_file_that_explains_is_kept_without_its_secrets(tmp_path: Path) -> None:
    serial, heard = tmp_path / "serial.log", Heard()
    serial.write_text(f"login: {TOKEN}\n")
    with logs.kept(Store(tmp_path / "cache"), "verify-x", heard) as log, phase(log, "boot"):
        keep_log(log, serial)
        keep_log(log, tmp_path / "not-there.log")
    assert (log.folder / "serial.log").read_text() == "login: [token]\n"
    assert sorted(path.name for path in log.folder.iterdir()) == ["events.log", "serial.log"]
    assert heard.events == ["begin", "end", "line"]  # the last for --verbose: where it is


def test_what_began_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught, logs.kept(Store(tmp_path), "bake-x", Heard()) as log:
        note(log, "in the store already")
        raise BadInput("no")
    assert (caught.value.log, list(tmp_path.iterdir())) == ("", [])


def test_an_interrupted_bake_has_a_log_too(tmp_path: Path) -> None:
    with pytest.raises(Interrupted) as caught, logs.kept(Store(tmp_path), "x", Heard()) as log:
        log.emit({"event": "begin", "name": "compress"})
        raise Interrupted(2)
    assert caught.value.where == "compress" and caught.value.log


def test_the_oldest_go(tmp_path: Path) -> None:
    for _ in range(logs.KEPT + 3):
        fail(Store(tmp_path), Heard())
    last = fail(Store(tmp_path), Heard()).log
    kept = sorted((tmp_path / "logs").iterdir())
    assert (len(kept), str(kept[-1])) == (logs.KEPT, last)


def test_too_much_output_is_left_out_but_not_what_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LONGEST", 2000)
    with logs.kept(Store(tmp_path), "x", Heard()) as log, phase(log, "loud"):
        for _ in range(100):
            line(log, "y" * 100)
    text = (log.folder / "events.log").read_text()
    assert len(text) < 3000
    assert "lines of output left out …" in text and "loud: done in" in text


def test_a_log_that_cannot_be_written_is_said_once_and_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    heard = Heard()
    with logs.kept(Store(tmp_path), "x", heard) as log, phase(log, "a"), phase(log, "b"):
        pass
    assert heard.events.count("warning") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]
