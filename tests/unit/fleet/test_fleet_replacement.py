"""What a replacement does next, whatever is there, and that it comes to an end, also if it is killed."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.fleet import scaling, states
from bakery.fleet.replacement import steps
from bakery.fleet.replacement.drain import drain
from bakery.fleet.replacement.steps import Done, Goal, Join, Launch, Remove
from bakery.fleet.servers import Server
from bakery.fleet.states import Member
from tests.unit.fleet.test_fleet_states import ANSWERS, NOW, SERVER, worker

OLD, NEW = "old", "new"
STATES = st.sampled_from(("idle", "busy", "booting", "launched", "shut off", "error", "lost", "deleting"))


def member(id: str, image: str, state: str, size: int = 0, locked: bool = False) -> Member:
    """A member of this state, made as the real ones are."""
    status = {"launched": "BUILD", "shut off": "SHUTOFF", "error": "ERROR"}.get(state, "ACTIVE")
    server = replace(
        SERVER, id=id, name=f"mine-0a1b2c3d4e5f-{id}", image=image, status=status, size=size, locked=locked,
        running=status == "ACTIVE", deleting=state == "deleting",
        created=NOW - 10**6 if state == "lost" else NOW - 60,
    )  # fmt: skip
    there = [worker(server.name, claimed=state == "busy")] if state in ("idle", "busy") else []
    pools = replace(ANSWERS, workers=there, since={SERVER.mark.pool: NOW - 10**7})
    [found] = states.members([server], pools, NOW)
    assert found.state == state
    return found


GROUPS = st.lists(
    st.tuples(st.sampled_from((OLD, NEW)), STATES, st.booleans()), min_size=1, max_size=8
).map(
    lambda found: [
        member(str(place), image, state, locked=locked)
        for place, (image, state, locked) in enumerate(found)
    ]
)


@dataclass
class World:
    """Servers, to which steps happen; the highest number that were out of the pool at the same time."""

    members: list[Member]
    size: int
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(100))

    def do(self, step: steps.Step) -> None:
        if isinstance(step, Remove):
            gone = {one.server.id for one in step.members}
            assert not any(one.server.locked for one in step.members)
            assert all(one.server.image == OLD for one in step.members)
            self.members = [one for one in self.members if one.server.id not in gone]
        elif isinstance(step, Launch):
            self.members += [
                member(str(next(self.ids)), NEW, "booting", self.size) for _ in range(step.count)
            ]
        elif isinstance(step, Join):
            ids = {one.server.id for one in step.members}
            self.members = [
                member(one.server.id, NEW, "idle", self.size) if one.server.id in ids else one
                for one in self.members
            ]


@given(GROUPS, st.integers(1, 9))
def test_a_replacement_ends_and_the_group_has_its_size(members: list[Member], at_once: int) -> None:
    """Killed after any step and run again, with the size from the servers, the end is the same."""
    size = steps.size(members)
    recorded = [
        replace_size(one, size) if one in scaling.counted(members) and not one.server.locked else one
        for one in members
    ]
    world, goal = World(recorded, size), Goal(NEW, at_once)
    for _ in range(100):
        again = steps.size(world.members) if any(one.server.size for one in world.members) else size
        assert again == size
        step = steps.next_step(world.members, goal, again)
        if isinstance(step, Remove):
            working = scaling.counted(step.members)
            assert len(working) <= at_once
            assert len(scaling.counted(world.members)) == 1 or len(working) < max(2, size)
        if isinstance(step, Done):
            break
        world.do(step)
    assert isinstance(step, Done) and all(one.server.locked for one in step.locked)
    assert all(one.server.image == NEW or one.server.locked for one in _there(world.members))
    assert len(scaling.counted(world.members)) == size


def _there(members: list[Member]) -> list[Member]:
    return [one for one in members if one.state != "deleting"]


def replace_size(one: Member, size: int) -> Member:
    server: Server = replace(one.server, size=size)
    return replace(one, server=server)


def test_workers_without_jobs_go_first() -> None:
    there = [member("1", OLD, "busy"), member("2", OLD, "idle"), member("3", OLD, "shut off")]
    assert [one.server.id for one in steps.outdated(there, NEW)] == ["3", "2", "1"]
    assert steps.next_step(there, Goal(NEW, 2), 2) == Remove((there[2],))  # which does no work
    assert steps.next_step(there[:2], Goal(NEW, 2), 2) == Remove((there[1],))  # one stays


def test_a_worker_that_has_done_its_work_is_not_launched_again() -> None:
    done, old = member("1", NEW, "shut off", size=2), member("2", OLD, "idle", size=2)
    assert steps.next_step([done, old], Goal(NEW, 1), 2) == Remove((old,))
    # One that had shut down before this replacement does not count.
    assert steps.next_step([replace_size(done, 0), old], Goal(NEW, 1), 2) == Launch(1)


def test_new_workers_are_waited_for_before_the_next_ones_go() -> None:
    new, old = member("1", NEW, "booting", size=2), member("2", OLD, "idle", size=2)
    assert steps.next_step([new, old], Goal(NEW, 1), 2) == Join((new,))


def test_without_the_program_no_worker_is_drained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert drain("cm.example.edu", "worker", "why", "token") == "condor_drain is not installed here"
