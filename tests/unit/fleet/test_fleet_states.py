"""The state of a server beside its worker, what is reaped, and who goes when a fleet shrinks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakery.fleet import reaping, scaling, states
from bakery.fleet.marks import Mark
from bakery.fleet.reaping import Policy
from bakery.fleet.servers import Server
from bakery.fleet.states import Member, Pools, State
from bakery.status.workers import Worker, workers_of

ROOT = Path(__file__).parent.parent.parent.parent
NOW = 1_800_000_000.0
POOL = "cm.example.edu"
HOUR = 3600.0
SERVER = Server(
    "7c2e", "mine-0a1b2c3d4e5f-1", Mark("0a1b2c3d4e5f", "mine", POOL, 900, 0), "ACTIVE", "m3.tiny",
    NOW - 60, NOW - 60, running=True,
)  # fmt: skip
ANSWERS = Pools(since={POOL: NOW - 100 * HOUR})


def worker(name: str = SERVER.name, claimed: bool = False, heard: int = 10, **more: object) -> Worker:
    ad = {
        "Name": f"slot1@{name}", "Machine": name, "State": "Claimed" if claimed else "Unclaimed", "Cpus": 1,
        "LastHeardFrom": int(NOW) - heard, "MyCurrentTime": int(NOW),
        "Start": {"expression": "x", "error": False}, **more,
        **({"JobId": "1.0"} if claimed else {}),
    }  # fmt: skip
    return workers_of([ad], NOW)[0]


def member(server: Server, *workers: Worker, pools: Pools = ANSWERS, lost_after: float = 0) -> Member:
    [found] = states.members([server], replace(pools, workers=workers), NOW, lost_after)
    return found


def aged(hours: float, **more: Any) -> Server:
    when = NOW - hours * HOUR
    return replace(SERVER, created=when, changed=when, **more)


def reason(
    server: Server, *workers: Worker, pools: Pools = ANSWERS, force: bool = False
) -> tuple[bool, str] | None:
    found = reaping.verdicts([member(server, *workers, pools=pools)], Policy(force=force), NOW)
    return (found[0].delete, found[0].reason) if found else None


def test_the_guide_has_all_states() -> None:
    guide = (ROOT / "docs/how-to/fleet.md").read_text()
    for state, meaning in states.STATES.items():
        assert f"| `{state}` | {meaning} |" in guide


@pytest.mark.parametrize(
    ("server", "workers", "state"),
    [
        (replace(SERVER, status="BUILD"), (), "launched"),
        (SERVER, (), "booting"),
        (SERVER, (worker(),), "idle"),
        (SERVER, (worker(claimed=True),), "busy"),
        (SERVER, (worker(NODE_IS_HEALTHY=False),), "joined"),
        (SERVER, (worker("elsewhere", CloudInstanceID="7c2e"),), "idle"),
        (SERVER, (worker(f"{SERVER.name}.novalocal"),), "idle"),
        (SERVER, (worker("mine-0a1b2c3d4e5f-11"),), "booting"),
        (replace(SERVER, status="SHUTOFF"), (worker(claimed=True),), "shut off"),
        (replace(SERVER, status="ERROR"), (worker(),), "error"),
        (replace(SERVER, deleting=True), (worker(),), "deleting"),
        (aged(2), (), "lost"),
        (aged(2), (worker(heard=700),), "lost"),
    ],
)
def test_states(server: Server, workers: tuple[Worker, ...], state: State) -> None:
    assert member(server, *workers).state == state


def test_a_server_is_lost_only_if_the_pool_would_know_its_worker() -> None:
    assert member(aged(2), pools=Pools()).state == "unknown"
    assert member(aged(2), pools=Pools(since={POOL: NOW - 60})).state == "unknown"  # it has just started
    assert member(aged(0.5)).state == "booting"
    assert member(aged(0.5), lost_after=600).state == "lost"
    assert member(replace(aged(2), mark=replace(SERVER.mark, join=3 * 3600))).state == "booting"


def test_what_is_reaped() -> None:
    assert reason(SERVER) is None and reason(SERVER, worker()) is None
    assert reason(aged(2, status="SHUTOFF")) == (True, "SHUTOFF for 2 h")
    assert reason(aged(2, status="ERROR", running=False, fault="No valid host")) == (
        True,
        "ERROR: No valid host",
    )
    assert reason(replace(SERVER, status="BUILD")) is None
    assert reason(aged(1, status="BUILD", running=False)) == (True, "in BUILD for 60 min")
    assert reason(aged(2)) == (True, "not in the pool for 2 h")
    assert reason(aged(2, deleting=True)) is None


def test_a_worker_past_its_lifetime_is_reaped_after_some_grace() -> None:
    mark = replace(SERVER.mark, lifetime=2 * 3600)
    assert reason(replace(aged(2.4), mark=mark), worker()) is None
    assert reason(replace(aged(5), mark=mark), worker()) == (True, "expired 3 h ago")


def test_a_worker_with_a_running_job_stays_unless_it_is_forced() -> None:
    expired = replace(aged(5), mark=replace(SERVER.mark, lifetime=3600))
    broken = aged(1, status="ERROR")
    for server in (expired, broken):
        kept = reason(server, worker(claimed=True))
        assert kept and not kept[0] and kept[1].endswith("a job runs on it (--force)")
        forced = reason(server, worker(claimed=True), force=True)
        assert forced and forced[0]
    off = reason(aged(1, status="SHUTOFF"), worker(claimed=True))  # what the pool knows is of before
    assert off and off[0]


def test_if_the_pool_does_not_answer_nothing_that_runs_is_reaped() -> None:
    expired = replace(aged(5), mark=replace(SERVER.mark, lifetime=3600))
    for server in (expired, aged(1, status="ERROR")):
        kept = reason(server, pools=Pools())
        assert kept and not kept[0] and "the pool does not know" in kept[1]
    assert reason(aged(5), pools=Pools()) is None
    gone = reason(aged(1, status="ERROR", running=False), pools=Pools())
    assert gone and gone[0]
    off = reason(aged(1, status="SHUTOFF", running=False), pools=Pools())
    assert off and off[0]


def test_a_locked_server_stays() -> None:
    kept = reason(aged(1, status="SHUTOFF", locked=True), force=True)
    assert kept == (False, "SHUTOFF for 60 min; it is locked")


KINDS: list[State] = ["busy", "idle", "booting", "launched", "shut off", "error", "lost", "unknown"]


def fleet() -> list[Member]:
    members = []
    for number, one in enumerate(KINDS):
        server = replace(SERVER, id=one, created=NOW - number, running=one != "launched")
        known = worker(claimed=one == "busy") if one in ("busy", "idle") else None
        members.append(Member(server, known, one, settled=one != "unknown"))
    return members


@pytest.mark.parametrize(
    ("wanted", "force", "gone"),
    [
        (5, False, []),
        (4, False, ["launched"]),
        (2, False, ["launched", "booting", "idle"]),
        (0, False, ["launched", "booting", "idle"]),  # on the others jobs may run
        (0, True, ["launched", "booting", "idle", "unknown", "busy"]),
    ],
)
def test_those_without_work_go_first(wanted: int, force: bool, gone: list[str]) -> None:
    assert [one.server.id for one in scaling.surplus(fleet(), wanted, force=force)] == gone
