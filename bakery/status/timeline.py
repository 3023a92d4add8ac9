"""From the entries of a record to what a plot shows: stretches without gaps, joins and leaves. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from bakery.status.record import Entry

# Workers send an update at least every 60 s: a shorter silence of the record hides nothing.
_SHORTEST_GAP = 60.0  # seconds
_MISSED = 3  # queries in a row make a gap


@dataclass(frozen=True)
class Point:
    """The sums of all workers at a time, in seconds since 1970."""

    time: float
    slots_busy: int
    slots: int
    jobs: int
    workers: int


@dataclass(frozen=True)
class Change:
    """How many workers have joined and left until this time since the query before."""

    time: float
    joined: int
    left: int


@dataclass(frozen=True)
class Timeline:
    """`stretches` are separated by gaps, in which nothing was recorded. `start` and `end` are times."""

    start: float
    end: float
    stretches: tuple[tuple[Point, ...], ...]
    changes: tuple[Change, ...]

    @property
    def gaps(self) -> tuple[tuple[float, float], ...]:
        """The times without an answer, also those before the first one and after the last one."""
        edges = [self.start, *(one for part in self.stretches for one in (part[0].time, part[-1].time))]
        edges.append(self.end)
        return tuple((a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a)


def timeline_of(entries: Iterable[Entry]) -> Timeline | None:
    """Return the timeline of a record; None for one without entries."""
    ordered = sorted(entries, key=lambda entry: entry.time)  # a clock may have been set back
    if not ordered:
        return None
    return Timeline(ordered[0].time, ordered[-1].time, tuple(_stretches(ordered)), tuple(_changes(ordered)))


def _stretches(entries: Sequence[Entry]) -> list[tuple[Point, ...]]:
    found: list[list[Point]] = [[]]
    single = _distance_of_single_queries(entries)
    before: Entry | None = None
    for entry in entries:
        if before and entry.time - before.time > _longest_pause(before, single):
            found.append([])
        if entry.workers is None:
            found.append([])
        else:
            found[-1].append(_point(entry))
        before = entry
    return [_without_repetitions(part) for part in found if part]


def _point(entry: Entry) -> Point:
    total = entry.totals
    names = ("slots_busy", "slots", "jobs", "workers")
    return Point(entry.time, *(total.get(name, 0) for name in names))


def _longest_pause(entry: Entry, single: float) -> float:
    """The time after an entry from which on a gap begins, in seconds."""
    every = single if entry.every is None else entry.every
    return max(_SHORTEST_GAP, _MISSED * every)


def _distance_of_single_queries(entries: Sequence[Entry]) -> float:
    """How far apart queries are that a timer makes, one by one; in seconds."""
    found = [after.time - before.time for before, after in pairwise(entries) if before.every is None]
    return median(found) if found else 0.0


def _without_repetitions(points: Sequence[Point]) -> tuple[Point, ...]:
    """Without those that equal both neighbours: a record of days has the same values for hours."""
    inner = zip(points, points[1:], points[2:], strict=False)
    kept = [here for before, here, after in inner if not _values(before) == _values(here) == _values(after)]
    return (points[0], *kept, points[-1]) if len(points) > 1 else tuple(points)


def _values(point: Point) -> tuple[int, ...]:
    return point.slots_busy, point.slots, point.jobs, point.workers


def _changes(entries: Iterable[Entry]) -> list[Change]:
    """Of names, because several workers may have one; the workers of the first query have not joined."""
    found = []
    known: Counter[str] | None = None
    for entry in entries:
        if entry.workers is None:
            continue
        names = Counter(worker.name for worker in entry.workers)
        if known is not None and names != known:
            found.append(Change(entry.time, (names - known).total(), (known - names).total()))
        known = names
    return found
