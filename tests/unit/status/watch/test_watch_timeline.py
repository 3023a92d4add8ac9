"""From the entries of a record to stretches, gaps, joins and leaves."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bakery.status import record
from bakery.status.record import Entry
from bakery.status.timeline import Change, Point, Timeline, timeline_of
from tests.unit.status.watch.examples import NOW, busy, worker

OF = "true"


def seen(at: float, *names: str, every: float | None = 5.0, jobs: int = 0) -> Entry:
    """An answer with workers of these names, of which the first one runs jobs."""
    found = [worker(name) for name in names]
    if jobs:
        found[0] = busy(names[0], *(f"{number}.0" for number in range(jobs)))
    return record.answered(found, OF, NOW + at, every)


def silence(at: float, every: float | None = 5.0) -> Entry:
    return record.failed("x", OF, NOW + at, every)


def of(*entries: Entry) -> Timeline:
    found = timeline_of(entries)
    assert found
    return found


def gaps(found: Timeline) -> list[tuple[float, float]]:
    return [(start - NOW, end - NOW) for start, end in found.gaps]


def times(found: Timeline) -> list[list[float]]:
    return [[point.time - NOW for point in part] for part in found.stretches]


def test_no_entries() -> None:
    assert timeline_of([]) is None


def test_one_answer() -> None:
    found = of(seen(0, "a", "b", jobs=2))
    assert found.stretches == ((Point(NOW, 2, 4, 2, 2),),)
    assert (found.start, found.end, found.gaps, found.changes) == (NOW, NOW, (), ())


def test_what_does_not_change_has_two_points() -> None:
    found = of(*(seen(at, "a") for at in range(0, 500, 5)))
    assert times(found) == [[0, 495]]
    changed = of(seen(0, "a"), seen(5, "a"), seen(10, "a"), seen(15, "a", jobs=1), seen(20, "a", jobs=1))
    assert times(changed) == [[0, 10, 15, 20]]


def test_joins_and_leaves() -> None:
    found = of(seen(0, "a", "b"), seen(5, "b", "c", "d"), seen(10, "b", "c", "d"), seen(15))
    assert found.changes == (Change(NOW + 5, 2, 1), Change(NOW + 15, 0, 3))
    # Those of a query without an answer are not known: the next answer has them.
    assert of(seen(0, "a"), silence(5), seen(10, "b")).changes == (Change(NOW + 10, 1, 1),)
    # Several workers may have one name.
    assert of(seen(0, "a"), seen(5, "a", "a", "a")).changes == (Change(NOW + 5, 2, 0),)


def test_a_query_without_answer_is_a_gap() -> None:
    found = of(seen(0, "a"), seen(5, "a"), silence(10), silence(15), seen(20, "a"))
    assert times(found) == [[0, 5], [20]]
    assert gaps(found) == [(5, 20)]


def test_gaps_at_the_edges_and_everywhere() -> None:
    assert gaps(of(silence(0), seen(5, "a"), seen(10, "a"), silence(15))) == [(0, 5), (10, 15)]
    nothing = of(silence(0), silence(5))
    assert (nothing.stretches, gaps(nothing)) == ((), [(0, 5)])


def test_a_pause_of_the_recorder_is_a_gap() -> None:
    """Three queries missed, but at least a minute."""
    assert gaps(of(seen(0, "a"), seen(60, "a"))) == []
    assert gaps(of(seen(0, "a"), seen(61, "a"))) == [(0, 61)]
    slow = [seen(0, "a", every=300), seen(900, "a", every=300), seen(1801, "a", every=300)]
    assert gaps(of(*slow)) == [(900, 1801)]


def test_single_queries_of_a_timer() -> None:
    """Their usual distance is the time between two queries."""
    hourly = [seen(3600 * number, "a", every=None) for number in (0, 1, 2, 3, 7, 8)]
    assert gaps(of(*hourly)) == [(3 * 3600, 7 * 3600)]
    assert gaps(of(seen(0, "a", every=None), seen(7200, "a", every=None))) == []


def test_a_clock_that_was_set_back() -> None:
    found = of(seen(10, "a"), seen(5, "a", "b"), seen(15, "a"))
    assert (found.start, found.end) == (NOW + 5, NOW + 15)
    assert found.changes == (Change(NOW + 10, 0, 1),)


_ENTRIES = st.lists(
    st.builds(
        lambda at, names, every: silence(at, every) if names is None else seen(at, *names, every=every),
        st.integers(0, 2000),
        st.one_of(st.none(), st.lists(st.sampled_from("abc"), max_size=3)),
        st.sampled_from([None, 1.0, 5.0, 300.0]),
    ),
    min_size=1,
    max_size=12,
)


@given(_ENTRIES)
def test_any_entries(entries: Sequence[Entry]) -> None:
    """Stretches and gaps follow each other and fill the time from the first to the last query."""
    found = of(*entries)
    assert all(part and list(part) == sorted(part, key=lambda one: one.time) for part in found.stretches)
    covered = sorted(
        [*found.gaps, *((part[0].time, part[-1].time) for part in found.stretches if len(part) > 1)]
    )
    assert all(end == start for (_, end), (start, _) in pairwise(covered))
    assert sum(end - start for start, end in covered) == found.end - found.start
    answers = [
        len(one.workers) for one in sorted(entries, key=lambda one: one.time) if one.workers is not None
    ]
    if answers:
        joined, left = (sum(getattr(one, name) for one in found.changes) for name in ("joined", "left"))
        assert answers[0] + joined - left == answers[-1]
