"""The command status without a collector: its options, the wait, and its outputs."""

from __future__ import annotations

import itertools
import json
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bakery.commands.status.command import main
from bakery.status import ask
from bakery.status.ask import Collector, Question
from bakery.status.workers import Ad
from provisioner.errors import Unreachable
from tests.unit.status.test_status_rows import NOW, recorded
from tests.unit.userdata.test_token import made

Captured = pytest.CaptureFixture[str]
COLLECTOR = Collector("$CondorVersion: 25.14.1 2026-08-21 $", 0)
SELECTED = ("--pool", "cm.example", "--group", "g")


@pytest.fixture(autouse=True)
def frozen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The time and the signals of a test; pauses are skipped."""
    clock = itertools.count(0, 10)
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.chdir(tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def answers(
    monkeypatch: pytest.MonkeyPatch, *given: list[Ad] | Exception, collector: Collector = COLLECTOR
) -> list[Question]:
    """Have the collector answer this, the last answer for ever; return the list of its questions."""
    asked: list[Question] = []

    def answer(
        question: Question, projection: Sequence[str], take: ask.Take, of_dynamic: Sequence[str] = ()
    ) -> Collector:
        found = given[min(len(asked), len(given) - 1)]
        asked.append(question)
        if isinstance(found, Exception):
            raise found
        take(found, collector)
        return collector

    monkeypatch.setattr(ask, "ask", answer)
    return asked


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--pool", "cm.example"), "No workers are selected"),
        (("--group", "g", "--pool", "a b"), "not the address of a collector"),
        ((*SELECTED, "--csv", "--json"), "exclude each other"),
        ((*SELECTED, "--wait", "1", "--timeout", "soon"), "is not a duration"),
        ((*SELECTED, "--cloud", "c"), "does not apply"),
        ((*SELECTED, "--token-file", "none"), "none"),
    ],
)
def test_bad_input(options: tuple[str, ...], words: str, capsys: Captured) -> None:
    assert main([*options]) == 2
    out, err = capsys.readouterr()
    assert words in err
    assert out == ""


def test_a_token_without_a_subject_is_not_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Captured
) -> None:
    """A collector of HTCondor 23.9 would abort."""
    asked = answers(monkeypatch, [])
    for name, text in (("nameless", made(sub=None)), ("good", made())):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    assert main([*SELECTED, "--token-file", "nameless"]) == 2
    assert asked == []
    assert main([*SELECTED, "--token-file", "good"]) == 0
    assert [one.token for one in asked] == [made(), made()]  # the second asks for similar names
    assert made() not in "".join(capsys.readouterr())


def test_the_next_central_manager_is_asked(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    asked = answers(monkeypatch, Unreachable("No answer."), recorded("idle", "node"))
    assert main(["--pool", "a.example,b.example", "--group", "g"]) == 0
    assert [one.host for one in asked] == ["a.example", "b.example"]
    assert "No answer. Asking the next central manager." in capsys.readouterr().err


def test_wait(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """A collector that does not answer in between may answer again."""
    one = recorded("idle", "node-1", MyAddress="<10.0.0.1:1>")
    both = [*one, *recorded("busy", "node-2", MyAddress="<10.0.0.2:1>")]
    asked = answers(monkeypatch, [], one, Unreachable("No answer."), both)
    assert main([*SELECTED, "--wait", "2"]) == 0
    out, err = capsys.readouterr()
    assert len(asked) == 4
    assert "node-2" in out
    assert [line for line in err.splitlines() if "have joined" in line] == [
        "note: 0 of 2 workers have joined.",
        "note: 1 of 2 workers have joined.",
    ]


def test_wait_in_vain(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    answers(monkeypatch, recorded("idle", "node-1", Start=True), Unreachable("No answer."))
    assert main([*SELECTED, "--wait", "2", "--timeout", "1m", "--json"]) == 5
    out, err = capsys.readouterr()
    assert [worker["name"] for worker in json.loads(out)["workers"]] == ["node-1"]
    event = json.loads(err.splitlines()[-1])
    assert event["class"] == "Unreachable"
    assert (
        "1 of 2 workers have joined cm.example within 1m. In the pool: 1 worker (1 idle)"
        in event["message"]
    )
    assert "The last query failed: No answer." in event["message"]


def test_the_first_query_must_succeed(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    answers(monkeypatch, Unreachable("There is no host cm.example."))
    assert main([*SELECTED, "--wait", "2"]) == 5
    assert "There is no host cm.example." in capsys.readouterr().err


def test_quiet_prints_the_result_alone(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    answers(monkeypatch, recorded("idle", "node-1"))
    assert main([*SELECTED, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert "node-1" in out
    assert err == ""


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (7300, "at least 2 hours ahead of the clock here"),
        (-7300, "at least 2 hours behind the clock here"),
        (30, ""),
    ],
)
def test_the_clock_of_the_collector(
    ahead: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """The workers' last updates are by that clock: it makes none of them silent."""
    ads = recorded("idle", "node-1", LastHeardFrom=int(NOW) + ahead)
    answers(monkeypatch, ads, collector=replace(COLLECTOR, ahead=ahead))
    assert main([*SELECTED, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split()[:2] == ["node-1", "idle"]
    assert words in err
    assert bool(err) is bool(words)


def test_an_old_collector(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    old = replace(COLLECTOR, version="$CondorVersion: 8.8.17 Mar 14 2022 $")
    answers(monkeypatch, recorded("idle", "node-1"), collector=old)
    assert main([*SELECTED]) == 0
    assert "runs HTCondor 8.8.17, which does not know tokens (IDTOKENS)" in capsys.readouterr().err
