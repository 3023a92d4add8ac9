"""The loop of --watch: queries, signals, and what is printed in a pipe."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bakery.commands.command_line import entry
from bakery.commands.status import command, queries, watch
from bakery.commands.status.queries import Answer, Failure, Recorder
from bakery.status import record_file
from bakery.status.ask import Question
from bakery.status.workers import Worker
from provisioner.errors import BadInput, Interrupted, Unreachable
from tests.unit.status.watch.examples import NOW, busy, worker

QUESTIONS = (Question("cm1", "", "true"), Question("cm2", "", "true"))
NOBODY = Recorder(None, "true", 5.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between queries; time passes only in them, and a second in each query."""
    pauses: list[float] = []
    now = [100.0]

    def sleep(seconds: float) -> None:
        pauses.append(round(seconds, 3))
        now[0] += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return pauses


def answers(monkeypatch: pytest.MonkeyPatch, *found: Sequence[Worker] | Exception) -> list[str]:
    """Let the next queries give these answers; return the hosts that are asked. Each takes a second."""
    hosts: list[str] = []
    left = iter(found)

    def ask(question: Question) -> Answer:
        hosts.append(question.host)
        time.sleep(1)
        one = next(left, None)
        if one is None:
            raise Interrupted(signal.SIGTERM)
        if isinstance(one, Exception):
            raise one
        return Answer(tuple(one), NOW, 0)

    monkeypatch.setattr(queries, "ask", ask)
    return hosts


def test_queries_at_equal_distances(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, *[[worker("a")]] * 9)
    found = list(queries.repeated(QUESTIONS, NOBODY, 5, 22))
    # A query takes a second of the five, and the last one is at the end of the time.
    assert clock == [5, 1, 4, 1, 4, 1, 4, 1, 1, 1]
    assert len(found) == 5


def test_the_next_central_manager_is_asked_after_a_failure(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = answers(monkeypatch, [], Unreachable("away"), [], Unreachable("away"), [])
    found = list(queries.repeated(QUESTIONS, NOBODY, 5, 25))
    assert hosts == ["cm1", "cm1", "cm2", "cm2", "cm1"]
    assert [isinstance(one, Failure) for one in found] == [False, True, False, True, False]
    assert isinstance(found[1], Failure) and found[1].reason == "away"


def test_a_signal_is_no_failure(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch)
    with pytest.raises(Interrupted):
        next(queries.repeated(QUESTIONS, NOBODY, 5, 60))


def test_each_query_is_recorded(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "r.jsonl"
    answers(monkeypatch, [worker("a")], Unreachable("away"), [])
    recorder = Recorder(path, "true", 5.0)
    recorder.check()
    list(queries.repeated(QUESTIONS, recorder, 5, 15))
    entries, torn = record_file.read(path)
    assert torn == 0
    counts = [None if one.workers is None else len(one.workers) for one in entries]
    assert counts == [1, None, 0]
    assert (entries[1].failed, {one.every for one in entries}) == ("away", {5.0})


def test_an_error_of_the_record_ends_the_queries(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers(monkeypatch, [worker("a")])
    with pytest.raises(BadInput, match="Is a directory"):
        list(queries.repeated(QUESTIONS, Recorder(tmp_path, "true", 5.0), 5, 15))


# --- what is shown -----------------------------------------------------------------------------


def found(*workers: Worker, at: float = NOW) -> Answer:
    return Answer(workers, at, 0)


def ignored(_: Answer | Failure) -> None:
    """Show nothing."""


def test_it_ends_when_enough_have_joined() -> None:
    shown: list[Answer | Failure] = []
    first = found()
    given: list[Answer | Failure] = [first, Failure("away"), found(worker("a"), worker("b")), found()]
    end = watch.follow(given, shown.append, first, 2)
    assert shown == given[:3]
    assert (len(end.last.workers), end.problem, end.code) == (2, "", 0)


def test_it_ends_with_what_was_seen_last() -> None:
    first = found(worker("a"))
    assert watch.follow([first, Failure("away")], ignored, first, 2) == watch.End(first, "away", 0)

    def interrupted() -> Iterator[Answer | Failure]:
        yield found(worker("a"), worker("b"))
        raise Interrupted(signal.SIGINT)

    end = watch.follow(interrupted(), ignored, first, None)
    assert (len(end.last.workers), end.problem, end.code) == (2, "", 130)


Capture = pytest.CaptureFixture[str]


def streamed(given: Sequence[Answer | Failure], *, as_json: bool = False) -> None:
    def printed(answer: Answer) -> None:
        print(json.dumps(len(answer.workers)) if as_json else f"table of {len(answer.workers)}")

    show = watch.stream(printed, as_json=as_json)
    for one in given:
        show(one)


def test_a_pipe_gets_the_first_answer_and_changes(capsys: Capture) -> None:
    streamed([found(), found(at=NOW + 5), found(busy("a", "1.0"), at=NOW + 10)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == ["table of 0", ""]
    assert lines[4:] == ["a joined: busy", "table of 1", ""]
    # A time that a program can read, with its offset from UTC.
    assert time.strptime(lines[3].replace(":", ""), "%Y-%m-%d %H%M%S%z")


def test_a_pipe_as_json(capsys: Capture) -> None:
    streamed([found(), found(), found(worker("a"))], as_json=True)
    assert capsys.readouterr().out == "0\n1\n"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_collector_that_is_away_is_reported_once(capsys: Capture, as_json: bool) -> None:
    streamed([found(), Failure("away"), Failure("away"), found(), found()], as_json=as_json)
    lines = capsys.readouterr().err.splitlines()
    if as_json:
        lines = [json.loads(line)["text"] for line in lines]
    first, second = lines
    assert "No answer: the last one is" in first and first.endswith("old. away")
    assert second.endswith("The collector answers again.")


def test_a_pipe_that_nobody_reads_ends_it(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(entry, "reader_is_gone", lambda: True)
    with pytest.raises(BrokenPipeError):
        streamed([found()])
    assert capsys.readouterr().out == ""


def test_a_dumb_terminal_is_not_redrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    assert watch.is_live()
    monkeypatch.setenv("TERM", "dumb")
    assert not watch.is_live()


def test_the_clock_of_the_collector() -> None:
    assert watch.clock_text(0) == ""
    assert "at least 5 minutes ahead" in watch.clock_text(300)


# --- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--watch", "--csv"), "--csv and --watch exclude each other."),
        (("--csv", "--json"), "--csv and --json exclude each other."),
    ],
)
def test_options_that_exclude_each_other(argv: Sequence[str], words: str) -> None:
    options = command.parser("status").parse_args(["--pool", "cm.example", "--group", "W", *argv])
    with pytest.raises(BadInput, match=words.replace(".", r"\.")):
        command.run(options)


def test_sighup_interrupts_but_not_under_nohup() -> None:
    before = signal.getsignal(signal.SIGHUP)
    try:
        for handler in (signal.SIG_IGN, signal.SIG_DFL):
            signal.signal(signal.SIGHUP, handler)
            entry.interrupt_at_hangup()
            assert (signal.getsignal(signal.SIGHUP) is handler) is (handler is signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGHUP, before)
