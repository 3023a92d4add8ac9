"""Waiting: a question again and again, a limit, and a failure that says what was answered last."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from bakery.machines.conditions import Clock, Condition, wait
from provisioner.errors import CommandFailed, NotProven


def clock(step: float = 1) -> Clock:
    """One on which each pause takes `step` seconds."""
    at = [0.0]

    def pause(_: float) -> None:
        at[0] += step

    return Clock(lambda: at[0], pause)


def answers(*given: object) -> Callable[[], object]:
    """One after the other, the last for ever; errors are raised."""
    coming: Iterator[object] = iter(given)
    last: list[object] = [None]

    def ask() -> object:
        last[0] = next(coming, last[0])
        if isinstance(last[0], Exception):
            raise last[0]
        return last[0]

    return ask


def test_the_answer_that_holds_is_returned() -> None:
    wanted = Condition("it is three", answers(1, 2, 3), 10, lambda n: n == 3)
    assert wait(wanted, clock=clock()) == 3


def test_an_answer_that_is_false_can_hold() -> None:
    assert wait(Condition("it is over", answers(True, False), 10, lambda n: not n), clock=clock()) is False


def test_a_failure_names_the_limit_and_the_last_answer() -> None:
    with pytest.raises(
        NotProven, match=r"^Timed out after 5 s waiting for: it is up\. Last answer: 'starting'\."
    ):
        wait(Condition("it is up", answers("", "starting"), 5, lambda said: said == "up"), clock=clock())


@pytest.mark.parametrize(
    "error", [CommandFailed("condor_status", 1, ""), NotProven("no way in"), ValueError("half of JSON")]
)
def test_a_question_that_cannot_be_put_is_put_again(error: Exception) -> None:
    assert wait(Condition("an answer", answers(error, error, "here"), 10), clock=clock()) == "here"
    with pytest.raises(NotProven, match="The last query failed: "):
        wait(Condition("an answer", answers(error), 10), clock=clock())


def test_a_machine_that_was_stopped_for_a_while_is_asked_again_before_it_is_given_up() -> None:
    """The first pause takes longer than the limit."""
    assert wait(Condition("it is up", answers(False, False, True), 5), clock=clock(step=1000)) is True


def test_what_has_ended_is_asked_a_last_time_and_not_waited_for() -> None:
    assert (
        wait(Condition("it said so", answers("so"), 10), ended=lambda: "It ended.", clock=clock()) == "so"
    )
    asked: list[None] = []
    with pytest.raises(NotProven, match=r"^It ended\. Still waiting for: it said so\."):
        wait(
            Condition("it said so", lambda: asked.append(None), 10),
            ended=lambda: "It ended.",
            clock=clock(),
        )
    assert len(asked) == 1


def test_an_answer_after_which_there_is_no_use_in_waiting_ends_the_wait() -> None:
    def holds(answer: object) -> bool:
        if answer == "held":
            raise NotProven("The job was held.")
        return answer == "completed"

    with pytest.raises(NotProven, match=r"^The job was held\.$"):
        wait(Condition("the job ends", answers("idle", "held"), 10, holds), clock=clock())
