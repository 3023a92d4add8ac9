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


def emit_of_two(monitor: Monitor) -> None:
    """Two images whose phases overlap; the second one fails in a phase."""
    for label, event in (
        ("osg", {"event": "begin", "name": "copy the base"}),
        ("prominence", {"event": "begin", "name": "install condor"}),
        ("prominence", {"event": "line", "text": "Setting up"}),
        ("osg", {"event": "end", "name": "copy the base", "seconds": 1.0}),
        ("prominence", {"event": "warning", "text": "careful"}),
        ("prominence", {"event": "finished", "seconds": 9.5, "error": "no answer\nmore"}),
        ("osg", {"event": "begin", "name": "compress"}),
        ("osg", {"event": "end", "name": "compress", "seconds": 2.0}),
        ("osg", {"event": "finished", "seconds": 61.0, "error": ""}),
    ):
        monitor.emit({**event, "label": label})


def test_lines_of_several_images_begin_with_their_labels(capsys: pytest.CaptureFixture[str]) -> None:
    emit_of_two(progress.Lines())
    assert [row.split("] ")[1] for row in capsys.readouterr().err.splitlines()] == [
        "osg: copy the base (1.0 s)",
        "prominence: warning: careful",
        "prominence: failed after 9.5 s: no answer",
        "osg: compress (2.0 s)",
        "osg: done (61.0 s)",
    ]


def test_a_quiet_command_shows_warnings_and_failures_of_several_images(
    capsys: pytest.CaptureFixture[str],
) -> None:
    emit_of_two(progress.Lines(quiet=True))
    rows = [row.split("] ")[1] for row in capsys.readouterr().err.splitlines()]
    assert rows == ["prominence: warning: careful", "prominence: failed after 9.5 s: no answer"]


def test_a_terminal_shows_several_images_and_ends_with_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = progress.Terminal()
    emit_of_two(terminal)
    err = capsys.readouterr().err
    for text in ("osg: copy the base 1.0 s", "prominence: failed after 9.5 s", "osg: done (61.0 s)"):
        assert text in err
    assert terminal._live.tasks == []
    assert not terminal._live.live.is_started
