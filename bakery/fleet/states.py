"""What becomes of a server, from its status and its slots in the pool. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bakery.fleet.servers import OFF, Server
from bakery.status.workers import Worker

State = Literal[
    "launched", "booting", "joined", "idle", "busy", "shut off", "error", "lost", "unknown", "deleting"
]
STATES: Mapping[State, str] = {
    "launched": "OpenStack builds the server",
    "booting": "the server runs, and its worker has not joined the pool yet",
    "joined": "the worker is in the pool, and offers no slot: `worker-bakery status` shows why",
    "idle": "the worker is in the pool, and no slot is claimed",
    "busy": "at least one slot is claimed",
    "shut off": "the worker has shut down; clouds charge the server until it is deleted",
    "error": "OpenStack could not build or run the server",
    "lost": "the server runs, but the pool does not know a worker of it for too long",
    "unknown": "the server runs, and the pool did not answer or has just started",
    "deleting": "OpenStack deletes the server",
}
BOOT = 1800  # seconds until a worker starts to join: a slow boot, cloud-init, checks of the worker
JOIN = 900  # seconds: the default of JoinTimeout
SETTLED = 600  # seconds after its start until a collector knows all workers again


@dataclass(frozen=True)
class Member:
    """A server of a fleet, its worker in the pool if there is one, and its state.

    `settled` is whether the pool would know the worker if there were one.
    """

    server: Server
    worker: Worker | None
    state: State
    settled: bool = True

    @property
    def has_job(self) -> bool:
        """Whether jobs may run there: a machine that is off has none, whatever the pool still knows."""
        return self.worker is not None and self.worker.slots_busy > 0 and self.server.status not in OFF


@dataclass(frozen=True)
class Pools:
    """What the pools said: the workers, and since when each pool answers (seconds since 1970).

    A pool that is not in `since` did not answer. A collector forgets all workers when it starts.
    """

    workers: Sequence[Worker] = ()
    since: Mapping[str, float] = field(default_factory=dict)

    def settled(self, pool: str, now: float, seconds: float) -> bool:
        """Whether a pool answers for longer than this."""
        return pool in self.since and now - self.since[pool] > seconds


def members(servers: Iterable[Server], pools: Pools, now: float, lost_after: float = 0) -> list[Member]:
    """Return each server with its worker and state; `now` is the cloud's time.

    `lost_after` is the time in seconds without a worker after which a server is lost; 0: of each worker.
    """
    by_instance = {one.instance: one for one in pools.workers if one.instance}
    by_host = {_host(one.name): one for one in pools.workers}
    found = []
    for server in servers:
        worker = by_instance.get(server.id) or by_host.get(server.name.lower())
        state = _state(server, worker, pools, now, lost_after)
        found.append(Member(server, worker, state, pools.settled(server.mark.pool, now, SETTLED)))
    return found


def lost_limit(server: Server) -> float:
    """Return the seconds after which a server without a worker is lost."""
    return BOOT + (server.mark.join or JOIN)


def _state(server: Server, worker: Worker | None, pools: Pools, now: float, lost_after: float) -> State:
    if server.deleting:
        return "deleting"
    if server.status == "ERROR":
        return "error"
    if server.status in OFF:
        return "shut off"
    if worker and worker.state != "silent":
        return _of_worker(worker)
    if server.status in ("BUILD", "REBUILD"):
        return "launched"
    limit = lost_after or lost_limit(server)
    if now - server.created <= limit:
        return "booting"
    return "lost" if pools.settled(server.mark.pool, now, limit) else "unknown"


def _of_worker(worker: Worker) -> State:
    if worker.slots_busy:
        return "busy"
    return "idle" if worker.state == "idle" else "joined"


def _host(name: str) -> str:
    """The host name of a startd, which may have a name of its own before it."""
    return name.rpartition("@")[2].partition(".")[0].lower()
