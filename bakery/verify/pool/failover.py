"""Verify the level pool with two central managers, as in the OSPool; the first is stopped during a job."""

from __future__ import annotations

import json
import time
from dataclasses import replace

from bakery.verify.level import (
    JOB_LIMIT,
    JOIN_LIMIT,
    RECONFIGURE_LIMIT,
    RunningWorker,
    run_site_tests,
    test_host,
)
from bakery.verify.pool import throwaway_pool as pools
from bakery.verify.pool.level import (
    Queued,
    found_as,
    power_on,
    started_at,
    submit,
    verify_power_off,
    wait_completed,
    wait_listed,
    wait_rejected,
)
from bakery.verify.record import Record
from provisioner.errors import NotProven

# A file on the worker that ends the first job, which must still run when the manager is stopped.
_END_JOB = "/home/proof-end-job"
_WAIT = f"while [ ! -e {_END_JOB} ]; do sleep 1; done\n"


def verify(worker: RunningWorker, record: Record) -> None:
    """Run the checks of the level pool, those of a failover included. Raises NotProven: one failed."""
    samples, pool = worker.samples, worker.pool
    first, second = (
        replace(worker, pool=replace(pool, manager=manager)) for manager in pool.shape.managers
    )
    with record.check(f"seen in both collectors, power-on to {found_as(worker)}", power_on(worker)):
        for asked in (first, second):
            wait_listed(asked, f"the collector {asked.pool.manager} lists the worker")
    foreign = submit(pool, "foreign", samples.foreign)
    job = submit(pool, "matching", samples.matching, _WAIT)
    with record.check(f"{samples.matching.title} was started"):
        _wait_running(worker, job)
    with record.check("the first central manager was stopped, and the worker reported it"):
        stopped_at = _stop_manager(first)
    with record.check("the running job was completed, its output came back"):
        worker.machine.put(_END_JOB, b"")
        wait_completed(worker, job)
    with record.check("a second such job, matched without the first manager, ran on it"):
        second_job = _run_second_job(second, stopped_at)
    with record.check(f"{samples.foreign.title} was refused by the worker"):
        wait_rejected(second, foreign, started_at(second, second_job))
    run_site_tests(worker.context, "pool", test_host(worker.machine), record)
    verify_power_off(worker, record)
    pool.job_state(foreign.id).is_rejected(0)


def _wait_running(worker: RunningWorker, job: Queued) -> None:
    def running(status: str) -> bool:
        if status == pools.HELD:
            raise NotProven("The matching job was held: the worker could not run it.")
        return status == pools.RUNNING

    worker.wait_until(
        "the matching job runs",
        lambda: worker.pool.job_attributes(job.id, "JobStatus")[0],
        JOB_LIMIT,
        running,
    )


def _stop_manager(worker: RunningWorker) -> int:
    """Stop the manager that `worker.pool` queries; return the time, in seconds since 1970."""
    manager = worker.pool.manager
    worker.pool.switch("COLLECTOR", on=False)
    stopped_at = int(time.time())
    worker.wait_until(
        "the worker reports that a manager does not answer",
        lambda: [server["problem"] for server in _servers(worker) if server["problem"]],
        RECONFIGURE_LIMIT,
        lambda problems: any(problem.startswith(f"{manager} ") for problem in problems),
    )
    return stopped_at


def _servers(worker: RunningWorker) -> list[dict[str, str]]:
    status = worker.machine.run(["worker-image", "status", "--json"], expect=(0, 3)).stdout
    servers: list[dict[str, str]] = json.loads(status).get("servers", [])
    return servers


def _run_second_job(worker: RunningWorker, stopped_at: int) -> Queued:
    """Run a second job once no claim is left that the schedd could reuse without a match."""
    name, by = worker.context.request.group_name, worker.samples.name_attribute
    worker.wait_until(
        "no slot is claimed",
        lambda: worker.pool.slot_attributes(name, "State", name_attribute=by),
        JOIN_LIMIT,
        lambda states: bool(states) and set(states) <= {'"Unclaimed"'},
    )
    job = submit(worker.pool, "second", worker.samples.matching)
    wait_completed(worker, job)
    matched = worker.pool.job_attributes(job.id, "LastMatchTime")[0]
    if not matched.isdigit() or int(matched) < stopped_at:
        raise NotProven(
            f"The second job was not matched after the manager was stopped (LastMatchTime {matched})."
        )
    return job
