"""`worker-image wait` and its command line: when each state counts as reached."""

from __future__ import annotations

from typing import Any

import pytest
from worker_runtime.configuration import applied
from worker_runtime.status import command_line, wait
from worker_runtime.status.status import Known
from worker_runtime.status.wait import Verdict

IDLE: dict[str, Any] = {
    "state": "idle", "why": "no slot is claimed", "configured": True, "pending": "", "problems": [],
    "joined": 5, "advertised": True, "htcondor": "active", "looked": 100.0,
}  # fmt: skip
CHANGED = {"pending": "/f has changed and is being read"}
UNREAD = {"pending": "/f has changed and " + applied.NOT_READ}
WRONG = {"problems": ["Start is empty"]}
NOT_YET = {"state": "joining", "why": "cm is far", "joined": None, "advertised": False}
UNTOLD = {"advertised": False}
WAITING = {"state": "waiting", "configured": False, "joined": None, "advertised": False}
BUSY, SILENT = {"state": "running"}, {"state": "silent"}
DOWN = {"htcondor": "inactive"}
GOING, GONE = {"state": "stopping"}, {"state": "stopped", **DOWN}


@pytest.mark.parametrize(
    ("changes", "holding"),
    [
        ({}, "configured joined idle"),
        (BUSY, "configured joined"),
        (CHANGED, ""),
        (WRONG, ""),
        (NOT_YET, "configured"),
        (UNTOLD, "configured"),
        (WAITING, ""),
        (SILENT, "configured"),
        ({**SILENT, **DOWN}, "configured stopped"),
        ({**SILENT, "htcondor": "activating"}, "configured"),
        (GOING, "configured"),
        ({**GOING, **DOWN}, "configured stopped"),
        (GONE, "configured stopped"),
        ({**GONE, **CHANGED}, "stopped"),
    ],
)
def test_what_holds(changes: dict[str, Any], holding: str) -> None:
    found = {**IDLE, **changes}
    assert [state for state in wait.STATES if wait.evaluate(state, found).holds] == holding.split()


@pytest.mark.parametrize(
    ("changes", "vain"),
    [
        ({}, ""),
        (WRONG, ""),  # it may be corrected
        (CHANGED, ""),
        (UNREAD, "configured joined idle"),
        (NOT_YET, ""),
        (SILENT, ""),
        (GOING, "joined idle"),
        (GONE, "joined idle"),
        ({**GONE, **CHANGED}, ""),  # a new beginning
    ],
)
def test_what_is_waited_for_in_vain(changes: dict[str, Any], vain: str) -> None:
    found = {**IDLE, **changes}
    assert [state for state in wait.STATES if wait.evaluate(state, found).hopeless] == vain.split()


def test_why_not() -> None:
    assert wait.evaluate("joined", {**IDLE, **NOT_YET}).why == "joining: cm is far"
    said = wait.evaluate("idle", {**IDLE, **CHANGED, **UNTOLD}).why.split("; ")
    assert said[0] == "idle: no slot is claimed"
    assert said[1:] == ["/f has changed and is being read", "the pool does not show the last change yet"]
    assert wait.evaluate("stopped", {**IDLE, **GONE, **UNTOLD}).why == "stopped: no slot is claimed"
    assert wait.evaluate("idle", {**IDLE, **WRONG}).why == "idle: no slot is claimed; Start is empty"


def test_only_a_look_since_the_question_counts() -> None:
    holds = Verdict(True, "idle: no slot is claimed")
    assert wait.verdict_of("idle", Known(IDLE, True), 200.0) == holds
    ordinary = Known(IDLE, False, "only root may ask the watch")
    assert wait.verdict_of("idle", ordinary, 99.0) == holds
    earlier = wait.verdict_of("idle", ordinary, 101.0)
    assert earlier == Verdict(
        False, "idle: no slot is claimed (of an earlier inspection; only root may ask the watch)"
    )
    assert not wait.verdict_of("idle", Known(IDLE, False, "it does not run", watched=False), 99.0).holds
    assert not wait.verdict_of("joined", Known({}, False, "it does not run", watched=False), 0).holds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("0", 0), ("", None), ("m", None), ("1.5m", None),
     ("-1", None), ("10 m", None), ("٣", None), ("1d", None)],
)  # fmt: skip
def test_times(text: str, seconds: float | None) -> None:
    assert wait.parse_duration(text) == seconds


def test_the_command_line() -> None:
    assert vars(command_line.parse(["status"])) == {"command": "status", "json": False}
    assert vars(command_line.parse(["status", "--json"])) == {"command": "status", "json": True}
    said = command_line.parse(["wait", "--for", "joined"])
    assert (said.state, said.timeout) == ("joined", 600.0)
    assert command_line.parse(["wait", "--timeout=90s", "--for=idle"]).timeout == 90.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required"),
        (["statsu"], "'statsu' is not one of: status, wait; did you mean status?"),
        (["status", "--jsn"], "unrecognized arguments: --jsn"),
        (["status", "now"], "unrecognized arguments: now"),
        (["wait"], "the following arguments are required: --for"),
        (["wait", "--for", "join"], "did you mean joined?"),
        (["wait", "--for", "xyzzy"], "'xyzzy' is not one of: configured, joined, idle, stopped\n"),
        (["wait", "--for", "idle", "--timeout", "soon"], "'soon' is not a time such as 90, 90s, 10m or 2h"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.parse(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["status", "--help"], ["wait", "-h"]])
def test_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command_line.parse(arguments)
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: worker-image")
    if "wait" in arguments:
        assert [state for state in wait.STATES if f"\n  {state} " not in said] == []
        assert "10m" in said
