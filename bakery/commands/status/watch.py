"""status --watch: show the workers again and again, live on a terminal, else at each change."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from bakery.commands.command_line import entry
from bakery.commands.status.queries import Answer, Failure
from provisioner.errors import Interrupted

if TYPE_CHECKING:
    from rich.text import Text

    from bakery.status.screen import View

_REFRESHES = 2  # in a second: the age of the last answer, and a terminal of another size

Show = Callable[[Answer | Failure], None]


def is_live() -> bool:
    """Whether standard output is a terminal that can be redrawn."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


@dataclass(frozen=True)
class End:
    """The last answer, why there has been none since ("": there was), and the exit code."""

    last: Answer
    problem: str
    code: int


def follow(answers: Iterable[Answer | Failure], show: Show, first: Answer, wanted: int | None) -> End:
    """Show the answers until a signal, or until there are as many workers as wanted (None: for ever)."""
    last, problem = first, ""
    try:
        for found in answers:
            show(found)
            if isinstance(found, Failure):
                problem = found.reason
                continue
            last, problem = found, ""
            if wanted and len(found.workers) >= wanted:
                break
    except Interrupted as error:
        return End(last, problem, error.exit_code)
    return End(last, problem, 0)


def stream(print_answer: Callable[[Answer], None], *, as_json: bool) -> Show:
    """Print the first answer, and those in which something changed, for a pipe or a file."""
    from bakery.status import changes

    last: Answer | None = None
    is_away = False

    def show(found: Answer | Failure) -> None:
        nonlocal last, is_away
        if entry.reader_is_gone():  # `| head`: nothing may change for hours
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        if isinstance(found, Failure):
            if last and not is_away:
                entry.warn(away_text(last, found.reason), as_json=as_json)
            is_away = True
            return
        if is_away:
            entry.warn("The collector answers again.", as_json=as_json)
        changed = changes.changes_of(last.workers, found.workers) if last else ()
        if last is None or changed:
            _print_block(found, [one.text for one in changed], print_answer, as_json=as_json)
        last, is_away = found, False

    return show


def _print_block(
    found: Answer, changed: Sequence[str], print_answer: Callable[[Answer], None], *, as_json: bool
) -> None:
    """The time, what changed, and the answer; as JSON the answer alone, in one line."""
    if not as_json:
        when = datetime.fromtimestamp(found.time).astimezone()
        print(when.isoformat(" ", "seconds"), *changed, sep="\n")
    print_answer(found)
    if not as_json:
        print()
    sys.stdout.flush()


def away_text(last: Answer, reason: str) -> str:
    """Say that the collector does not answer, and how old the last answer is."""
    from bakery.status.texts import duration

    return f"No answer: the last one is {duration(max(0.0, time.time() - last.time))} old. {reason}"


def empty(title: str, every: float) -> View:
    """Return the view before the first answer."""
    from bakery.status.screen import View

    return View(title, every)


@contextmanager
def live(view: View) -> Iterator[Show]:
    """Show the view on the alternate screen of the terminal, and restore the terminal in the end.

    The main thread queries the collector, and signals interrupt it. A thread of rich redraws.
    """
    from rich.console import Console
    from rich.live import Live

    from bakery.status import screen

    current = view

    def show(found: Answer | Failure) -> None:
        nonlocal current
        current = _next(current, found)
        display.refresh()

    def draw() -> Text:
        width, height = console.size
        return _rendered(screen.lines(current, time.time(), width, height))

    entry.interrupt_at_hangup()  # the terminal is restored then, too
    console = Console(highlight=False, _environ=_without_size(os.environ))  # rich applies NO_COLOR
    display = Live(console=console, screen=True, get_renderable=draw, refresh_per_second=_REFRESHES)
    with display:
        yield show


def _without_size(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables for rich, which prefers the size in them to the terminal's.

    They are exported where a program with readline(3) started this one, and stay the same when the window
    gets another size.
    """
    return {name: value for name, value in variables.items() if name not in ("COLUMNS", "LINES")}


def _next(view: View, found: Answer | Failure) -> View:
    from bakery.status import screen

    if isinstance(found, Failure):
        return replace(view, problem=found.reason)
    return screen.answered(view, found.workers, found.time, clock_text(found.ahead))


def _rendered(lines: Sequence[Sequence[tuple[str, str]]]) -> Text:
    """The lines for rich; texts of ads are data, and no markup."""
    from rich.text import Text

    assembled = [Text.assemble(*line) for line in lines]
    return Text("\n", no_wrap=True, overflow="crop", end="").join(assembled)


def clock_text(ahead: int) -> str:
    """Say that the collector's clock differs from ours by so many seconds; "" for 0."""
    from bakery.tokens import collectors

    return collectors.clock_text(ahead)
