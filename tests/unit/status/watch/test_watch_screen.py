"""What `status --watch` shows on terminals of any size."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.status import screen
from bakery.status.screen import Line, View
from bakery.status.workers import Worker
from tests.unit.status.watch.examples import GROUPS, HOSTILE, NOW, busy, worker

EMPTY = View("cm.example: WorkerGroupName W", 5.0)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def view(*answers: Sequence[Worker], note: str = "") -> View:
    """The view after these answers, five seconds apart; the last one is at NOW."""
    shown = EMPTY
    for number, workers in enumerate(answers):
        at = NOW - 5 * (len(answers) - 1 - number)
        shown = screen.answered(shown, tuple(workers), at, note)
    return shown


def text(lines: Sequence[Line]) -> list[str]:
    return ["".join(part for part, _ in line).rstrip() for line in lines]


def drawn(shown: View, width: int = 100, height: int = 24, now: float = NOW) -> list[str]:
    return text(screen.lines(shown, now, width, height))


def marked(shown: View, now: float = NOW) -> set[str]:
    """The cells that are marked as changed."""
    lines = screen.lines(shown, now, 100, 24)
    return {part for line in lines for part, style in line if "reverse" in style}


def test_a_whole_screen() -> None:
    shown = view(
        [worker("a"), worker("b")], [busy("a", "1.0"), worker("b", start="error", accepts="no job")]
    )
    assert drawn(shown) == [
        "cm.example: WorkerGroupName W" + " " * 52 + "21:06:40, every 5 s",
        "2 workers (1 busy, 1 idle); claimed: 1 of 8 CPUs; 1 job of alice@x.",
        "",
        "worker  state  slots  CPUs  GiB    jobs  users  idle  up     retires",
        "a       busy   1/2    1/4   0/8.0  1     alice  -     60min  2h",
        "b       idle   0/1    0/4   0/8.0  -     -      60s   60min  2h",
        "",
        "WARNING: Start of b has an error, so no job ever starts there: error",
        "",
        "last changes",
        "21:06:40  b: Start changed",
        "21:06:40  a: idle → busy, 0 → 1 job",
    ]


def test_changed_cells_are_marked_for_a_while() -> None:
    shown = view([worker("a"), worker("b")], [busy("a", "1.0"), worker("b"), worker("c")])
    assert {"busy", "1/2", "1", "c"} <= marked(shown)
    assert "b" not in marked(shown)
    assert marked(shown, NOW + 9) == marked(shown)
    assert marked(shown, NOW + 11) == set()
    # As long as it is the last answer.
    assert marked(replace(shown, every=60.0), NOW + 59) == marked(shown)


def test_states_have_colours() -> None:
    lines = screen.lines(view([worker("a", state="silent"), busy("b", "1.0")]), NOW, 100, 24)
    styles = {part: style for line in lines for part, style in line}
    assert (styles["silent"], styles["busy"]) == ("bold red", "green")


def test_before_there_are_workers() -> None:
    shown = drawn(view([]))
    assert shown[1:] == ["0 workers; claimed: 0 of 0 CPUs; 0 jobs.", "", "No worker has joined."]


def test_no_answer() -> None:
    away = replace(view([worker("a")]), problem=f"cm.example did not answer. {HOSTILE.encode()!r}")
    shown = drawn(away, now=NOW + 95)
    assert shown[2].startswith("No answer: this is the state of 95 s ago. cm.example did not answer.")
    assert any(line.startswith("a       idle") for line in shown)
    again = screen.answered(away, (worker("a"),), NOW + 100)
    assert not again.problem


def test_a_note() -> None:
    assert "The clock differs." in drawn(view([worker("a")], note="The clock differs."))


def test_more_workers_than_lines() -> None:
    shown = drawn(view([busy("n1", "1.0"), *(worker(f"n{number}") for number in range(2, 60))]), height=12)
    assert len(shown) == 12
    assert shown[1].startswith("59 workers (1 busy, 58 idle)")
    assert shown[4].startswith("n1")
    assert shown[-1] == "… and 52 more workers (52 idle)"


def test_warnings_and_changes_leave_room_for_workers() -> None:
    sick = [worker(f"n{number}", state="unhealthy", healthy=False) for number in range(20)]
    shown = drawn(view(sick, [*sick[:5], *sick[7:]]), height=16)
    assert sum(line.startswith("n") for line in shown) >= 3
    assert any("more warnings: see status without --watch" in line for line in shown)
    assert any(line.startswith("WARNING: n0 is unhealthy") for line in shown)


def test_only_the_last_changes_are_kept() -> None:
    shown = EMPTY
    for number in range(200):
        shown = screen.answered(shown, (worker(f"n{number}"),), NOW + number)
    assert len(shown.events) == 50
    found = drawn(shown, now=NOW + 200)
    assert found[-5:] == [
        "21:09:59  n198 left", "21:09:59  n199 joined: idle", "21:09:58  n197 left",
        "21:09:58  n198 joined: idle", "21:09:57  n196 left",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("width", "header", "first"),
    [
        (80, "worker  state  slots  CPUs  GiB    jobs  users  idle  up     retires", "cm.example: Worker"),
        (60, "worker  state  slots  CPUs  GiB    jobs  idle  up", "cm.example: WorkerGroupName W"),
        (40, "worker  state  slots  CPUs  jobs  idle", "cm.example: WorkerGroupName W   21:06:40"),
        (20, "worker  state  slots", "cm.exampl…  21:06:40"),
        (10, "worker  st", "21:06:40"),
    ],
)
def test_narrow_terminals(width: int, header: str, first: str) -> None:
    shown = drawn(view([busy("node-1", "1.0")]), width)
    assert shown[0].startswith(first)
    assert header in shown


def test_daylight_saving_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks are local. In the night of the change, an hour repeats."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    change = 1_792_890_000.0  # 2026-10-25 01:00 UTC
    first, second = (
        drawn(screen.answered(EMPTY, (worker("a"),), at), now=at)[0].split()[-4]
        for at in (change - 1800, change + 1800)
    )
    assert (first, second) == ("02:30:00,", "02:30:00,")
    shown = screen.answered(EMPTY, (worker("a"),), change - 1800)
    away = replace(shown, problem="x")
    assert "state of 60 min ago" in "".join(drawn(away, now=change + 1800))


@given(
    GROUPS, GROUPS, st.integers(1, 200), st.integers(1, 60), st.sampled_from(["", "away", HOSTILE[:0]]),
    st.floats(-100, 10**6),
)  # fmt: skip
def test_any_workers_fit_any_terminal(
    before: Any, after: Any, width: int, height: int, problem: str, age: float
) -> None:
    shown = replace(view(before, after), problem=problem)
    lines = screen.lines(shown, NOW + age, width, height)
    assert 1 <= len(lines) <= height
    for line in lines:
        whole = "".join(part for part, _ in line)
        assert len(whole) <= width
        assert whole.isprintable(), whole


@given(st.integers(20, 200), st.integers(3, 60), st.integers(1, 80))
def test_summary_and_first_workers_are_visible(width: int, height: int, count: int) -> None:
    workers = [busy(f"n{number}", f"{number}.0") for number in range(count)]
    shown = drawn(view([], workers), width, height)
    assert shown[1].startswith(f"{count} worker")
    if height >= 20:
        assert sum(line.startswith("n") for line in shown) >= min(count, 3)
    if height >= count + 30:
        assert "last changes" in shown
