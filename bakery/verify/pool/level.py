"""The rung pool, of one central manager: a job is run, another refused, and the worker goes.

The worker's IdleTimeout is far away while it is looked at; when all else was seen, its file gets a short
one, and it is to power itself off.
"""

from __future__ import annotations

import dataclasses
import secrets
from dataclasses import dataclass

from bakery.machines.vm import VirtualMachine
from bakery.userdata import rendering
from bakery.verify.level import (
    FOLLOW_LIMIT,
    HOSTNAME,
    JOB_LIMIT,
    JOIN_LIMIT,
    OFF_LIMIT,
    REFUSED_LIMIT,
    Rung,
)
from bakery.verify.pool import throwaway_pool as pools
from bakery.verify.pool.sample_jobs import Job, Trial
from bakery.verify.pool.throwaway_pool import Pool
from bakery.verify.record import Record
from provisioner.errors import NotProven


@dataclass(frozen=True)
class Queued:
    """A job of ours in the queue, and what it is to print first."""

    id: str
    name: str
    nonce: str


@dataclass(frozen=True)
class Jobs:
    matching: Queued
    foreign: Queued


def submit(pool: Pool, name: str, job: Job, first: str = "") -> Queued:
    """`first` is what its script does before it prints."""
    nonce = secrets.token_hex(8)
    script = f"#!/bin/sh\n{first}echo {nonce} $(uname -n) $(id -un)\n"
    return Queued(pool.submit(name, "", script, job.commands), name, nonce)


def submit_both(pool: Pool, tried: Trial) -> Jobs:
    return Jobs(submit(pool, "matching", tried.matching), submit(pool, "foreign", tried.foreign))


def climb(rung: Rung, jobs: Jobs, record: Record) -> None:
    """Raises NotProven."""
    tried = rung.tried
    with record.check(f"seen in the collector, power-on to {found_by(rung)}", power_on(rung)):
        wait_seen(rung, "the collector shows the worker")
    with record.check(f"{tried.matching.title} ran on it, its output came back"):
        wait_ran(rung, jobs.matching)
    with record.check(f"{tried.foreign.title} was refused by the worker"):
        wait_refused(rung, jobs.foreign, started_at(rung, jobs.matching))
    wait_off(rung, record)
    rung.pool.seen(jobs.foreign.id).is_refused(0)


def found_by(rung: Rung) -> str:
    return f"{rung.tried.found_by} == {pools.classad_string(rung.setting.request.group_name)}"


def power_on(rung: Rung) -> float | None:
    """When the machine was started; one in namespaces starts at once."""
    return rung.machine.started if isinstance(rung.machine, VirtualMachine) else None


def wait_seen(rung: Rung, what: str) -> None:
    """Until the central manager that the rung asks knows the worker."""
    name, found = rung.setting.request.group_name, rung.tried.found_by
    rung.until(what, lambda: rung.pool.status(name, found), JOIN_LIMIT)


def started_at(rung: Rung, job: Queued) -> int:
    """In seconds since 1970."""
    return int(rung.pool.about(job.id, "JobStartDate")[0])


def wait_ran(rung: Rung, job: Queued) -> None:
    """Until it is completed; it printed what it was to print, on the worker."""

    def completed(status: str) -> bool:
        if status == pools.HELD:
            raise NotProven(f"The {job.name} job was held; the worker could not run it.")
        return status == pools.COMPLETED

    rung.until(
        f"the {job.name} job is completed",
        lambda: rung.pool.about(job.id, "JobStatus")[0],
        JOB_LIMIT,
        completed,
    )
    said = rung.pool.output(job.name).split()
    if said[:2] != [job.nonce, HOSTNAME]:
        raise NotProven(f"The job's output is not what it printed on the worker: {said!r}.")


def wait_refused(rung: Rung, job: Queued, since: int) -> None:
    """By the negotiator's answer after that moment, when it knew the worker; which is still there."""
    rung.until(
        f"the pool finds no match for {rung.tried.foreign.title}",
        lambda: rung.pool.seen(job.id),
        REFUSED_LIMIT,
        lambda seen: seen.is_refused(since),
    )
    wait_seen(rung, "the worker is still in the pool that refused the job for it")


def wait_off(rung: Rung, record: Record) -> None:
    """With a new IdleTimeout in its file, which it has to follow."""
    machine, seconds = rung.machine, rung.setting.request.idle_seconds
    with record.check(f"powered itself off, told of an IdleTimeout of {seconds} s"):
        settings = {**rung.tried.conf.settings, "IdleTimeout": str(seconds)}
        told = dataclasses.replace(rung.tried.conf, settings=settings)
        machine.put(rung.tried.file, rendering.conf_text(told).encode(), 0o600)
        if not machine.goes_off(seconds + (FOLLOW_LIMIT + OFF_LIMIT) * machine.slower):
            raise NotProven(
                f"The worker was idle, and told of an IdleTimeout of {seconds} s, but its machine did not"
                " power itself off."
            )
