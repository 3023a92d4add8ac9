"""What `status --watch` shows on a terminal: lines that fit its size. Pure.

The summary is at the top: it stays visible if there are more workers than lines.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bakery.status import changes, report
from bakery.status.changes import JOINED, Key
from bakery.status.texts import counted, duration
from bakery.status.workers import STATES, Worker

Span = tuple[str, str]  # a text, and its style in the words of rich ("": none)
Line = tuple[Span, ...]

_KEPT = 50  # changes
_SHOWN = 5  # changes, and warnings, if there is room for the workers
_MARKED = 10.0  # seconds for which a change is marked at least
_WIDE = 60  # columns from which on the title has the time between two queries
_FEWEST = 3  # workers that are shown before warnings and changes are
# Columns that a narrow terminal does without, the first one first.
_DISPENSABLE = ("users", "retires", "GiB", "up", "CPUs", "GPUs", "idle", "jobs", "slots")
_GAP = "  "
_STYLES: Mapping[str, str] = {
    "busy": "green",
    "retiring": "yellow",
    "draining": "yellow",
    "drained": "yellow",
    "unhealthy": "bold red",
    "Start error": "bold red",
    "silent": "bold red",
}
_CHANGED = "reverse"
_PROBLEM = "bold white on red"


@dataclass(frozen=True)
class Event:
    """A change, and when an answer had it, in seconds since 1970."""

    time: float
    change: changes.Change


@dataclass(frozen=True)
class View:
    """The last answer and what happened since the command started.

    `title` names the collector and the workers, `every` is the time between two queries in seconds,
    `answered` the time of the answer (0: none yet). `problem` is why there has been no answer since ("" if
    there was one), `note` what else to say.
    """

    title: str
    every: float
    workers: tuple[Worker, ...] = ()
    answered: float = 0.0
    problem: str = ""
    note: str = ""
    events: tuple[Event, ...] = field(default=())


def answered(view: View, workers: tuple[Worker, ...], now: float, note: str = "") -> View:
    """Return the view after another answer."""
    changed = changes.changes_of(view.workers, workers) if view.answered else ()
    new = tuple(Event(now, one) for one in changed)
    events = (*view.events, *new)[-_KEPT:]
    return replace(view, workers=workers, answered=now, problem="", note=note, events=events)


def lines(view: View, now: float, width: int, height: int) -> list[Line]:
    """Return at most `height` lines of at most `width` columns, for the time `now`."""
    head = [*_head(view, now, width, max(1, height // 4)), ()]
    room = height - len(head) - 1  # without the table's header
    below = _below(view, max(0, room - min(len(view.workers), max(_FEWEST, room // 2))))
    table = _table(view, now, width, room - len(below))
    found = [*head, *table, *below]
    return [_cropped(line, width) for line in found[:height]]


def _head(view: View, now: float, width: int, most: int) -> Iterator[Line]:
    """The title, at most `most` lines of the summary, and a problem."""
    age = max(0.0, now - view.answered)
    clock = time.strftime("%H:%M:%S", time.localtime(view.answered))
    right = f"{clock}, every {view.every:g} s" if width >= _WIDE else clock
    left = _beginning(view.title, width - len(right) - len(_GAP))
    gap = " " * (width - len(left) - len(right)) if left else ""
    yield ((left, "bold"), (gap, ""), (right, "dim"))
    yield from (((text, ""),) for text in _wrapped(report.summary(view.workers), width)[:most])
    if view.problem:
        text = f"No answer: this is the state of {duration(age)} ago. {view.problem}"
        yield from (((part.ljust(width), _PROBLEM),) for part in _wrapped(text, width)[:3])
    elif view.note:
        yield from (((part, "yellow"),) for part in _wrapped(view.note, width)[:2])


def _beginning(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    return f"{text[: width - 1]}…" if width > 0 else ""


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap  # takes a while to import

    return textwrap.wrap(text, max(1, width), break_on_hyphens=False)


def _below(view: View, room: int) -> list[Line]:
    """Warnings and the last changes, in at most `room` lines."""
    warnings = [
        line for line in report.remarks(view.workers, view.answered) if line.startswith(report.WARNING)
    ]
    fitting = min(_SHOWN, room - 1)
    # Without room for all, a line says how many others there are.
    shown = warnings if len(warnings) <= fitting else warnings[: max(0, min(fitting, room - 2))]
    found: list[Line] = [(), *(((line, "yellow"),) for line in shown)] if shown else []
    if more := len(warnings) - len(shown):
        found.append(((f"{counted(more, 'more warning')}: see status without --watch", "yellow"),))
    count = min(_SHOWN, room - len(found) - 2, len(view.events))
    if count > 0:
        found += [(), (("last changes", "bold"),)]
        found += [_event(one) for one in reversed(view.events[-count:])]
    return found[:room]


def _event(event: Event) -> Line:
    clock = time.strftime("%H:%M:%S", time.localtime(event.time))
    return ((f"{clock}{_GAP}", "dim"), (event.change.text, ""))


def _table(view: View, now: float, width: int, room: int) -> list[Line]:
    """The header and at most `room` lines: workers, and how many others there are."""
    if not view.workers:
        return [(("No worker has joined.", ""),)]
    shown = view.workers if len(view.workers) <= room else view.workers[: max(0, room - 1)]
    header, *rows = _fitting(report.rows(shown, view.answered, width), width)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    marks = _marks(view, now)
    found: list[Line] = [
        tuple((cell.ljust(size) + _GAP, "bold") for cell, size in zip(header, widths, strict=True))
    ]
    for key, worker, row in zip(changes.keyed(shown), shown, rows, strict=True):
        found.append(_row(header, row, widths, worker, marks.get(key, ())))
    if others := view.workers[len(shown) :]:
        found.append(((_others(others), "dim"),))
    return found


def _row(
    header: Sequence[str], row: Sequence[str], widths: Sequence[int], worker: Worker, marked: Sequence[str]
) -> Line:
    spans: list[Span] = []
    for title, cell, size in zip(header, row, widths, strict=True):
        style = _STYLES.get(worker.state, "") if title == "state" else ""
        if title in marked or (JOINED in marked and title == "worker"):
            style = f"{style} {_CHANGED}".strip()
        spans += [(cell, style), (" " * (size - len(cell)) + _GAP, "")]
    return tuple(spans)


def _marks(view: View, now: float) -> Mapping[Key, Sequence[str]]:
    """What changed a short time ago, of each worker."""
    since = now - max(_MARKED, view.every)
    found: dict[Key, tuple[str, ...]] = {}
    for event in view.events:
        if event.time >= since:
            found[event.change.worker] = (*found.get(event.change.worker, ()), *event.change.kinds)
    return found


def _others(workers: Sequence[Worker]) -> str:
    states = Counter(worker.state for worker in workers)
    listed = ", ".join(f"{states[state]} {state}" for state in STATES if states[state])
    return f"… and {counted(len(workers), 'more worker')} ({listed})"


def _fitting(rows: list[tuple[str, ...]], width: int) -> list[tuple[str, ...]]:
    """Leave out columns until the table fits."""
    for title in _DISPENSABLE:
        if report.excess(rows, width) <= 0:
            break
        if title in rows[0]:
            rows = report.without(rows, title)
    return rows


def _cropped(line: Line, width: int) -> Line:
    """The line without what is right of the terminal's last column."""
    found: list[Span] = []
    for text, style in line:
        part = text[:width]
        width -= len(part)
        if part:
            found.append((part, style))
    return tuple(found)
