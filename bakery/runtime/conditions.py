"""Wait for a condition: repeat a query until its answer meets the condition, or a time limit is over.

Every wait in this project is one; none sleeps for a fixed time. A query that fails (a machine that is not
reachable yet, a tool that fails) is repeated as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from provisioner.errors import CommandFailed, NotProven

T = TypeVar("T")

# Even after the time limit, for a process that was suspended in between.
_MIN_QUERIES = 3
_LONGEST_PAUSE = 1.0  # seconds, unless the interval is longer
_WIDTH = 500  # characters of an answer in a message


@dataclass(frozen=True)
class Condition(Generic[T]):
    """A query, a predicate of its answer, and the time limit in seconds.

    `is_met` raises NotProven for an answer after which waiting is useless.
    """

    description: str
    query: Callable[[], T]
    seconds: float
    is_met: Callable[[T], bool] = bool


@dataclass(frozen=True)
class Clock:
    """The current time and a pause, both in seconds; tests replace them."""

    now: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep


CLOCK = Clock()


def wait(
    condition: Condition[T],
    *,
    end_reason: Callable[[], str] = lambda: "",
    interval: float = 0.5,
    clock: Clock = CLOCK,
) -> T:
    """Query until the condition is met; return the answer that met it.

    Queries are at first `interval` seconds apart, later more. `end_reason` returns why the condition cannot
    be met any more ("" if it can): the wait then ends after one last query. Raises NotProven: the wait
    ended, or the limit is over; its message has the last answer.
    """
    started, queries = clock.now(), 0
    while True:
        reason = end_reason()
        answer, last = _query(condition)
        queries += 1
        if answer:
            return answer[0]
        if reason:
            raise NotProven(f"{reason} Still waiting for: {condition.description}. {last}")
        elapsed = clock.now() - started
        if elapsed > condition.seconds and queries >= _MIN_QUERIES:
            raise NotProven(
                f"Timed out after {condition.seconds:g} s waiting for: {condition.description}. {last}"
            )
        clock.pause(_pause(interval, elapsed))


def wait_until(
    description: str, query: Callable[[], T], is_met: Callable[[T], bool] = bool, seconds: float = 120
) -> T:
    """Call `wait` with a Condition of these parts, and query every second."""
    return wait(Condition(description, query, seconds, is_met), interval=1)


def _pause(interval: float, elapsed: float) -> float:
    """Return the seconds until the next query, which grow to a twentieth of the time waited, or one second.

    A query starts programs, here or in the machine, and they delay what is waited for.
    """
    return max(interval, min(_LONGEST_PAUSE, elapsed / 20))


def _query(condition: Condition[T]) -> tuple[tuple[T] | None, str]:
    """Return the answer, if it meets the condition, and a sentence about it."""
    try:
        answer = condition.query()
    except (CommandFailed, NotProven, ValueError) as error:  # ValueError: an incomplete answer
        return None, f"The last query failed: {_short(str(error))}"
    return (answer,) if condition.is_met(answer) else None, f"Last answer: {_short(repr(answer))}."


def _short(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH // 2]} … {text[-_WIDTH // 2 :]}"
