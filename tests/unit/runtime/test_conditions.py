"""Waiting repeats a query up to a limit; a failure has the last answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from bakery.runtime.conditions import Clock, Condition, wait
from provisioner.errors import CommandFailed, NotProven


def clock(step: float = 1) -> Clock:
    """A clock on which each pause takes `step` seconds."""
    at = [0.0]

    def pause(_: float) -> None:
        at[0] += step

    return Clock(lambda: at[0], pause)


def answers(*given: object) -> Callable[[], object]:
    """Return the answers one after the other, the last one repeatedly; raise those that are errors."""
    coming: Iterator[object] = iter(given)
    last: list[object] = [None]

    def query() -> object:
        last[0] = next(coming, last[0])
        if isinstance(last[0], Exception):
            raise last[0]
        return last[0]

    return query


def test_the_answer_that_meets_the_condition_is_returned() -> None:
    wanted = Condition("it is three", answers(1, 2, 3), 10, lambda n: n == 3)
    assert wait(wanted, clock=clock()) == 3


def test_a_false_answer_can_meet_the_condition() -> None:
    assert wait(Condition("it is over", answers(True, False), 10, lambda n: not n), clock=clock()) is False


def test_a_failure_names_the_limit_and_the_last_answer() -> None:
    with pytest.raises(
        NotProven, match=r"^Timed out after 5 s waiting for: it is up\. Last answer: 'starting'\."
    ):
        wait(Condition("it is up", answers("", "starting"), 5, lambda said: said == "up"), clock=clock())


@pytest.mark.parametrize(
    "error", [CommandFailed("condor_status", 1, ""), NotProven("no way in"), ValueError("half of JSON")]
)
def test_a_query_that_fails_is_repeated(error: Exception) -> None:
    assert wait(Condition("an answer", answers(error, error, "here"), 10), clock=clock()) == "here"
    with pytest.raises(NotProven, match="The last query failed: "):
        wait(Condition("an answer", answers(error), 10), clock=clock())


def test_a_suspended_process_queries_again_before_it_times_out() -> None:
    """The first pause takes longer than the limit."""
    assert wait(Condition("it is up", answers(False, False, True), 5), clock=clock(step=1000)) is True


def test_the_longer_it_takes_the_rarer_are_the_queries() -> None:
    pauses: list[float] = []
    at = [0.0]

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        at[0] += seconds

    wanted = Condition("it is late", lambda: at[0], 100, lambda now: now > 60)
    assert wait(wanted, interval=0.1, clock=Clock(lambda: at[0], pause)) < 62
    assert (pauses[:20], pauses[-1]) == ([0.1] * 20, 1.0)
    assert pauses == sorted(pauses)
    assert len(pauses) < 120  # 600 without


def test_after_the_end_there_is_one_last_query() -> None:
    assert (
        wait(Condition("it said so", answers("so"), 10), end_reason=lambda: "It ended.", clock=clock())
        == "so"
    )
    asked: list[None] = []
    with pytest.raises(NotProven, match=r"^It ended\. Still waiting for: it said so\."):
        wait(
            Condition("it said so", lambda: asked.append(None), 10),
            end_reason=lambda: "It ended.",
            clock=clock(),
        )
    assert len(asked) == 1


def test_an_answer_that_raises_not_proven_ends_the_wait() -> None:
    def is_met(answer: object) -> bool:
        if answer == "held":
            raise NotProven("The job was held.")
        return answer == "completed"

    with pytest.raises(NotProven, match=r"^The job was held\.$"):
        wait(Condition("the job ends", answers("idle", "held"), 10, is_met), clock=clock())
