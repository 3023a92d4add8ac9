from __future__ import annotations

import json

import pytest

from bakery.runtime import progress
from provisioner.events import JsonLines, Monitor, line, note, phase, warn


def emit_all(monitor: Monitor) -> None:
    with phase(monitor, "condor: install [condor]"):
        line(monitor, "Setting up condor")
    note(monitor, "noted")
    warn(monitor, "careful")


@pytest.mark.parametrize(
    ("verbose", "quiet", "shown", "hidden"),
    [
        (False, False, ["install [condor] (", "noted", "warning: careful"], ["Setting up"]),
        (True, False, ["install [condor] …", "Setting up", "noted"], []),
        (False, True, ["warning: careful"], ["install", "noted", "Setting up"]),
    ],
)
def test_lines(
    verbose: bool, quiet: bool, shown: list[str], hidden: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    emit_all(progress.Lines(verbose=verbose, quiet=quiet))
    out, err = capsys.readouterr()
    assert out == ""
    assert all(text in err for text in shown)
    assert not any(text in err for text in hidden)


def test_terminal_prints_text_without_interpreting_markup(capsys: pytest.CaptureFixture[str]) -> None:
    emit_all(progress.Terminal())
    err = capsys.readouterr().err
    assert "install [condor]" in err
    assert "careful" in err


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    emit_all(JsonLines())
    events = [json.loads(row)["event"] for row in capsys.readouterr().err.splitlines()]
    assert events == ["begin", "line", "end", "note", "warning"]


@pytest.mark.parametrize(
    ("done", "total", "text"),
    [
        (300 << 20, 900 << 20, "x.qcow2: 300 of 900 MiB, 33 %"),
        (5 << 20, None, "x.qcow2: 5 MiB"),
        (0, 0, "x.qcow2: 0 of 0 MiB, 100 %"),
    ],
)
def test_progress_text(done: int, total: int | None, text: str) -> None:
    event = {"event": "progress", "name": "x.qcow2", "done": done, "total": total}
    assert progress.progress_text(event) == text


def test_progress_is_printed_only_every_few_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 4))
    monkeypatch.setattr("bakery.runtime.progress.time.monotonic", lambda: next(clock))
    lines = progress.Lines()
    for done in range(30):
        lines.emit({"event": "progress", "name": "x", "done": done << 20, "total": 30 << 20})
    assert 1 < len(capsys.readouterr().err.splitlines()) < 15


def test_failed_phase_has_no_end_event() -> None:
    names: list[str] = []

    class Recorder:
        def emit(self, event: dict[str, str]) -> None:
            names.append(event["event"])

    with pytest.raises(RuntimeError), phase(Recorder(), "x"):
        raise RuntimeError
    assert names == ["begin"]


def test_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(progress.choose(json=True, verbose=False, quiet=False), JsonLines)
    assert isinstance(progress.choose(json=False, verbose=False, quiet=False), progress.Lines)
