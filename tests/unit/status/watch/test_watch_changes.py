"""What changed among workers between two answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from bakery.status import changes
from bakery.status.changes import JOINED, LEFT, RESTARTED, Change, changes_of
from bakery.status.workers import Worker
from tests.unit.status.watch.examples import GROUPS, HOSTILE, busy, worker


def only(before: Worker, after: Worker) -> Change:
    [found] = changes_of([before], [after])
    return found


def test_joins_and_leaves_in_the_order_of_the_table() -> None:
    before = [worker("a"), worker("b"), worker("c")]
    after = [worker("b"), busy("d", "1.0"), worker("e", state="unhealthy")]
    found = changes_of(before, after)
    assert [one.text for one in found] == [
        "d joined: busy", "e joined: unhealthy", "a left", "c left",
    ]  # fmt: skip
    assert [one.kinds for one in found] == [(JOINED,), (JOINED,), (LEFT,), (LEFT,)]
    assert [one.worker for one in found] == [("d", 0), ("e", 0), ("a", 0), ("c", 0)]


def test_durations_are_no_changes() -> None:
    later = worker("a", idle=65, up=3605, heard=2)
    assert changes_of([worker("a")], [later]) == ()
    assert changes_of([worker("a", up=None)], [worker("a", up=3)]) == ()


def test_jobs() -> None:
    started = only(worker("a"), busy("a", "1.0", "1.1"))
    assert started.text == "a: idle → busy, 0 → 2 jobs"
    assert set(started.kinds) == {"state", "slots", "CPUs", "jobs", "users"}
    assert only(busy("a", "1.0", "1.1"), busy("a", "1.1")).text == "a: 2 → 1 job"
    assert only(busy("a", "1.0"), busy("a", "2.0")).text == "a: other jobs (1)"
    assert only(busy("a", "1.0"), busy("a", "1.0", memory_busy=9)).text == "a: GiB changed"


@pytest.mark.parametrize(
    ("changed", "words", "kind"),
    [
        ({"start": "error", "accepts": "no job", "state": "Start error"}, "idle → Start error", "Start"),
        ({"start": "true", "accepts": "any job"}, "Start changed", "Start"),
        (
            {"healthy": False, "health": "disk", "state": "unhealthy"},
            "idle → unhealthy, health ch",
            "health",
        ),
        ({"image": "osg-2"}, "image changed", "image"),
        ({"gpus": 1}, "GPUs changed", "GPUs"),
        ({"instance": "i-2"}, "instance changed", "instance"),
        ({"retires": 5}, "retirement changed", "retirement"),
        (
            {"drain_reason": "kernel", "state": "drained"},
            "reason of draining changed",
            "reason of draining",
        ),
    ],
)
def test_what_an_operator_wants_to_know(changed: dict[str, Any], words: str, kind: str) -> None:
    found = only(worker("a"), worker("a", **changed))
    assert words in found.text
    assert kind in found.kinds


def test_a_startd_that_started_again() -> None:
    again = only(busy("a", "1.0"), worker("a", up=7))
    assert again.text == "a: busy → idle, 1 → 0 jobs, restarted"
    assert RESTARTED in again.kinds
    # Clocks and updates: the time since the start is not exact.
    assert changes_of([worker("a", up=3600)], [worker("a", up=3590)]) == ()


def test_workers_of_one_name() -> None:
    """Behind NAT, or by a hostile name: each is one of them."""
    two = [worker("a", image="1"), worker("a", image="2")]
    assert changes_of(two, two) == ()
    [found] = changes_of(two, two[:1])
    assert (found.worker, found.text) == (("a", 1), "a left")


def test_names_of_ads_are_shown_harmlessly() -> None:
    [found] = changes_of([], [worker(HOSTILE)])
    assert found.text.isprintable()
    assert found.text.startswith("\\x1b]0;pwned\\x07")
    assert changes_of([], [worker("")])[0].text == "? joined: idle"


@given(GROUPS, GROUPS)
def test_any_workers(before: tuple[Worker, ...], after: tuple[Worker, ...]) -> None:
    found = changes_of(before, after)
    assert all(one.text.isprintable() and one.kinds for one in found)
    assert len({one.worker for one in found}) == len(found)
    joined, left = ([one for one in found if one.kinds == (kind,)] for kind in (JOINED, LEFT))
    assert len(before) + len(joined) - len(left) == len(after)
    assert changes_of(after, after) == ()
    assert set(changes.keyed(after).values()) == set(after)
