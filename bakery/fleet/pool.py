"""What the pools of a fleet know of its workers."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence

from bakery.fleet.marks import Mark
from bakery.fleet.servers import Server
from bakery.fleet.states import Pools
from bakery.status import ask, workers
from bakery.status.selection import ATTRIBUTES, Selection
from bakery.status.workers import Ad, Worker
from provisioner.errors import BakeryError, Interrupted
from provisioner.events import Monitor, warn
from provisioner.process.scrub import scrub


def ask_all(servers: Iterable[Server], token: str, now: float, monitor: Monitor) -> Pools:
    """Ask the pool of each server for the workers of its group. A pool that does not answer is reported.

    `token` is one for READ; "" asks anonymously. `now` is the time by which the pools' own is given.
    """
    groups: dict[str, set[str]] = defaultdict(set)
    for server in servers:
        groups[server.mark.pool].add(selection_of(server.mark).constraint)
    found: list[Worker] = []
    since: dict[str, float] = {}
    for pool, constraints in groups.items():
        try:
            since[pool] = now - _ask(pool.split(","), token, sorted(constraints), found)
        except Interrupted:
            raise
        except BakeryError as error:
            warn(monitor, f"The states of workers are unknown: {scrub(str(error))}")
    return Pools(found, since)


def selection_of(mark: Mark) -> Selection:
    """Return the workers of the group in their pool."""
    if not mark.cloud:
        return Selection(((ATTRIBUTES["group"], mark.group),))
    values = {"cloud": mark.cloud, "region": mark.region, "node_group": mark.group}
    return Selection(tuple((ATTRIBUTES[name], value) for name, value in values.items()))


def _ask(hosts: Sequence[str], token: str, constraints: Sequence[str], found: list[Worker]) -> float:
    """Add the workers to `found`; return for how many seconds the collector runs.

    Raises the error of the last central manager if none answers.
    """
    wanted = " || ".join(f"({constraint})" for constraint in constraints)
    for place, host in enumerate(hosts, 1):
        here: list[Worker] = []

        def take(ads: list[Ad], collector: ask.Collector, here: list[Worker] = here) -> None:
            here.extend(workers.workers_of(ads, time.time() + (collector.ahead or 0)))

        question = ask.Question(host, token, wanted)
        try:
            collector = ask.ask(question, workers.PROJECTION, take, workers.OF_DYNAMIC_SLOTS)
        except Interrupted:
            raise
        except BakeryError:
            if place == len(hosts):
                raise
            continue
        found.extend(here)
        return collector.up or 0.0
    raise AssertionError("a pool has a central manager")
