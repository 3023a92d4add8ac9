"""Waiting for a condition: a question that is asked again until its answer is as wanted.

Nothing that a machine is still bringing about is read once, and no pause stands for a condition.
A question that cannot be put for a moment (no way in yet, a tool that fails) is put again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from provisioner.errors import CommandFailed, NotProven

T = TypeVar("T")

# However late it is: a machine that was stopped in between is still asked so many times.
_AT_LEAST = 3
_WIDTH = 500  # characters of an answer in a message


@dataclass(frozen=True)
class Condition(Generic[T]):
    """`holds` is true of the answer to `ask`, within so many seconds of waiting.

    `holds` raises NotProven of an answer after which there is no use in waiting.
    """

    what: str
    ask: Callable[[], T]
    seconds: float
    holds: Callable[[T], bool] = bool


@dataclass(frozen=True)
class Clock:
    """Seconds since some moment, and a pause of so many."""

    now: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep


CLOCK = Clock()


def wait(
    condition: Condition[T],
    *,
    ended: Callable[[], str] = lambda: "",
    pause: float = 0.5,
    clock: Clock = CLOCK,
) -> T:
    """The answer with which the condition holds.

    `ended` tells why nothing can come any more ("" if it can): the wait is then over at once, after
    one last question. Raises NotProven with the limit and the last answer.
    """
    begun, asked = clock.now(), 0
    while True:
        why_over = ended()
        answer, said = _asked(condition)
        asked += 1
        if answer:
            return answer[0]
        if why_over:
            raise NotProven(f"{why_over} Still awaited: {condition.what}. {said}")
        if clock.now() - begun > condition.seconds and asked >= _AT_LEAST:
            raise NotProven(f"Not within {condition.seconds:g} s: {condition.what}. {said}")
        clock.pause(pause)


def until(what: str, ask: Callable[[], T], holds: Callable[[T], bool] = bool, seconds: float = 120) -> T:
    """`wait` for who has no Condition at hand; asks every second."""
    return wait(Condition(what, ask, seconds, holds), pause=1)


def _asked(condition: Condition[T]) -> tuple[tuple[T] | None, str]:
    """The answer, if it holds; and in words, whatever it is."""
    try:
        answer = condition.ask()
    except (CommandFailed, NotProven, ValueError) as error:  # ValueError: half an answer
        return None, f"The last question failed: {_short(str(error))}"
    return (answer,) if condition.holds(answer) else None, f"The last answer: {_short(repr(answer))}."


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH // 2]} … {text[-_WIDTH // 2 :]}"
