"""Wait until the workers of a launch are in their pool, and say why some are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bakery.fleet import pool, states
from bakery.fleet.api import Api
from bakery.fleet.states import Member
from bakery.machines import serial
from bakery.runtime.conditions import Condition, wait
from bakery.status.texts import printable
from provisioner.errors import NotProven, Unreachable
from provisioner.events import Monitor, note, phase
from provisioner.process.scrub import scrub

_INTERVAL = 10.0  # seconds between two queries
_LINES = 200  # of a console log
_LOGS = 5  # that are read of servers that have not joined
IN_POOL = ("joined", "idle", "busy")
_LAST = ("shut off", "error", "lost", "deleting")


def wait_for_all(
    query: Callable[[], list[Member]], count: int, api: Api, monitor: Monitor, seconds: float
) -> list[Member]:
    """Wait until `count` of the workers that `query` returns are in the pool; return these members.

    Raises Unreachable, with what consoles say: they are not in time, or servers have ended before.
    """
    there: list[Member] = []

    def joined() -> int:
        there[:] = query()
        number = sum(one.state in IN_POOL for one in there)
        note(monitor, f"{number} of {count} workers are in the pool.")
        return number

    def hopeless() -> str:
        left = sum(one.state not in _LAST for one in there)
        return f"Only {left} servers can still join." if there and left < count else ""

    with phase(monitor, f"wait for {count} workers in the pool"):
        try:
            condition = Condition("the workers are in the pool", joined, seconds, lambda n: n >= count)
            wait(condition, interval=_INTERVAL, end_reason=hopeless)
        except NotProven:
            raise _too_few(there, count, api) from None
    return there


def members(launch: str, token: str, api: Api, monitor: Monitor) -> list[Member]:
    """Return the servers of a launch (of all: "") with their workers and states."""
    found = api.servers(launch)
    return states.members(found, pool.ask_all(found, token, api.now, monitor), api.now)


def _too_few(there: Sequence[Member], count: int, api: Api) -> Unreachable:
    absent = [one for one in there if one.state not in IN_POOL]
    reasons = "".join(f"\n  {line}" for line in _reasons(absent, api))
    return Unreachable(
        f"{len(there) - len(absent)} of {count} workers are in the pool.{reasons}\n",
        "The servers are kept: see worker-bakery fleet list, and their console logs in the dashboard.",
    )


def _reasons(absent: Sequence[Member], api: Api) -> Iterator[str]:
    """Yield a line for each server that has not joined; the console logs of the first ones are read."""
    for place, member in enumerate(absent):
        text = console_reason(api.console(member.server, _LINES)) if place < _LOGS else ""
        about = printable(scrub(text or member.server.fault))
        yield f"{printable(member.server.name, 63)}: {member.state}{f': {about}' if about else ''}"


def console_reason(log: str) -> str:
    """Return why a worker has not joined, from its console: its last line, or a failed boot. Pure."""
    own = [line for line in serial.strip_escapes(log).splitlines() if "osg-worker" in line]
    if own:
        return own[-1].strip()
    found = serial.diagnose(log)
    # A worker of ours has no key of ssh.
    return str(found) if found and found.name != "ssh-key" else ""
