"""The rung pool, of two central managers as in the OSPool: the first one is stopped while a job runs."""

from __future__ import annotations

import json
import time
from dataclasses import replace

from bakery.verify.level import FOLLOW_LIMIT, JOB_LIMIT, JOIN_LIMIT, Rung
from bakery.verify.pool import throwaway_pool as pools
from bakery.verify.pool.level import (
    Queued,
    found_by,
    power_on,
    started_at,
    submit,
    wait_off,
    wait_ran,
    wait_refused,
    wait_seen,
)
from bakery.verify.record import Record
from provisioner.errors import NotProven

# On the worker. The first job waits for it, so that it runs while the manager is stopped.
_GO_ON = "/home/proof-goes-on"
_WAIT = f"while [ ! -e {_GO_ON} ]; do sleep 1; done\n"


def climb(rung: Rung, record: Record) -> None:
    """Raises NotProven."""
    tried, pool = rung.tried, rung.pool
    first, second = (replace(rung, pool=replace(pool, manager=one)) for one in pool.shape.managers)
    with record.check(f"seen in both collectors, power-on to {found_by(rung)}", power_on(rung)):
        for one in (first, second):
            wait_seen(one, f"the collector {one.pool.manager} shows the worker")
    foreign = submit(pool, "foreign", tried.foreign)
    job = submit(pool, "matching", tried.matching, _WAIT)
    with record.check(f"{tried.matching.title} was taken"):
        _wait_taken(rung, job)
    with record.check("the first central manager was stopped, and the worker says so"):
        stopped = _stop(first)
    with record.check("the job ran on to its end, its output came back"):
        rung.machine.put(_GO_ON, b"")
        wait_ran(rung, job)
    with record.check("a second such job, matched without the first manager, ran on it"):
        again = _ran_again(second, stopped)
    with record.check(f"{tried.foreign.title} was refused by the worker"):
        wait_refused(second, foreign, started_at(second, again))
    wait_off(rung, record)
    pool.seen(foreign.id).is_refused(0)


def _wait_taken(rung: Rung, job: Queued) -> None:
    def running(status: str) -> bool:
        if status == pools.HELD:
            raise NotProven("The matching job was held; the worker could not run it.")
        return status == pools.RUNNING

    rung.until("the matching job runs", lambda: rung.pool.about(job.id, "JobStatus")[0], JOB_LIMIT, running)


def _stop(rung: Rung) -> int:
    """The manager that this rung asks; when, in seconds since 1970."""
    manager = rung.pool.manager
    rung.pool.switch("COLLECTOR", on=False)
    stopped = int(time.time())
    rung.until(
        "the worker says that a manager does not answer",
        lambda: [one["problem"] for one in _servers(rung) if one["problem"]],
        FOLLOW_LIMIT,
        lambda problems: any(problem.startswith(f"{manager} ") for problem in problems),
    )
    return stopped


def _servers(rung: Rung) -> list[dict[str, str]]:
    said = rung.machine.run(["worker-image", "status", "--json"], expect=(0, 3)).stdout
    servers: list[dict[str, str]] = json.loads(said).get("servers", [])
    return servers


def _ran_again(rung: Rung, stopped: int) -> Queued:
    """A new job, once nothing of the first one's claim is left that it could be given without a match."""
    name, by = rung.setting.request.group_name, rung.tried.found_by
    rung.until(
        "no slot is claimed",
        lambda: rung.pool.ads(name, "State", found_by=by),
        JOIN_LIMIT,
        lambda states: bool(states) and set(states) <= {'"Unclaimed"'},
    )
    job = submit(rung.pool, "second", rung.tried.matching)
    wait_ran(rung, job)
    matched = rung.pool.about(job.id, "LastMatchTime")[0]
    if not matched.isdigit() or int(matched) < stopped:
        raise NotProven(f"The second job was not matched anew (LastMatchTime {matched}).")
    return job
