"""Which lane of tests gets which files, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

from tests.conftest import Lanes

VM = ("tests/boot/vm/test_a.py::one", "tests/boot/vm/test_b.py::two", "tests/boot/vm/test_b.py::three")


@dataclass(eq=False)
class Lane:
    """What the scheduler sees of a process that runs tests."""

    tests: Sequence[str]
    got: list[str] = field(default_factory=list)
    shutting_down: bool = False
    gateway: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(id="gw"))

    def send_runtest_some(self, places: Sequence[int]) -> None:
        self.got += [self.tests[place] for place in places]

    def shutdown(self) -> None:
        self.shutting_down = True


def scheduled(tests: Sequence[str], number: int = 2) -> tuple[Lanes, list[Lane]]:
    config = SimpleNamespace(
        getvalue=lambda _: ["popen"] * number, option=SimpleNamespace(loadscopereorder=False)
    )
    scheduler, lanes = Lanes(config), [Lane(tests) for _ in range(number)]
    for lane in lanes:
        scheduler.add_node(lane)
    for lane in lanes:
        scheduler.add_node_collection(lane, tests)
    scheduler.schedule()
    return scheduler, lanes


def ended(scheduler: Lanes, lane: Lane, name: str) -> None:
    scheduler.mark_test_complete(lane, lane.tests.index(name))


def some(name: str, number: int) -> list[str]:
    return [f"tests/unit/{name}.py::{place}" for place in range(number)]


def test_all_virtual_machines_are_one_lane_s() -> None:
    _, (first, second) = scheduled([*VM, *some("a", 2)])
    assert first.got == [*VM]
    assert second.got == some("a", 2)


def test_a_file_is_assigned_when_the_last_test_of_the_one_before_begins() -> None:
    a, b, c, d = (some(name, 3) for name in "abcd")
    scheduler, (first, second) = scheduled([*a, *b, *c, *d])
    ended(scheduler, first, a[0])
    assert first.got == a
    ended(scheduler, first, a[1])
    assert first.got == [*a, *c]
    ended(scheduler, first, a[2])
    ended(scheduler, first, c[0])
    assert first.got == [*a, *c]
    ended(scheduler, second, b[0])
    ended(scheduler, second, b[1])
    assert second.got == [*b, *d]


def test_what_waits_for_a_machine_is_the_shortest_file() -> None:
    a, long, other, short = (some(name, 2) for name in ("a", "long", "other", "short"))
    scheduler, (first, second) = scheduled([*VM, *a, *long, *other, *short])
    for name in VM[:2]:
        ended(scheduler, first, name)
    assert first.got == [*VM, *short]
    ended(scheduler, second, a[0])
    assert second.got == [*a, *long]


def test_a_lane_that_has_nothing_to_wait_for_ends() -> None:
    a, b = some("a", 1), some("b", 2)
    scheduler, (first, second) = scheduled([*a, *b])
    assert first.shutting_down  # its last test begins, as none follows
    assert not scheduler.tests_finished or second.shutting_down
    ended(scheduler, first, a[0])
    ended(scheduler, second, b[0])
    ended(scheduler, second, b[1])
    assert scheduler.tests_finished and not scheduler.has_pending
    assert first.got + second.got == [*a, *b]


def test_what_a_crashed_lane_had_left_runs_in_another() -> None:
    a, b, c = some("a", 3), some("b", 3), some("c", 2)
    scheduler, (first, second) = scheduled([*a, *b, *c])
    ended(scheduler, first, a[0])
    assert scheduler.remove_node(first) == a[1]
    for name in (*b, *c):
        ended(scheduler, second, name)
    assert second.got == [*b, *c, *a[1:]]
