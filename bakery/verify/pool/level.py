"""Verify the level pool with one central manager: the worker joins, runs a job, rejects one, powers off.

The worker's IdleTimeout is longer than the checks. After the other checks its file gets a short one, and
the worker must power off.
"""

from __future__ import annotations

import dataclasses
import secrets
from dataclasses import dataclass

from bakery.machines.vm import VirtualMachine
from bakery.userdata import rendering
from bakery.verify.level import (
    HOSTNAME,
    JOB_LIMIT,
    JOIN_LIMIT,
    POWER_OFF_LIMIT,
    RECONFIGURE_LIMIT,
    REFUSAL_LIMIT,
    RunningWorker,
    run_site_tests,
    test_host,
)
from bakery.verify.pool import throwaway_pool as pools
from bakery.verify.pool.sample_jobs import Job, SampleJobs
from bakery.verify.pool.throwaway_pool import Pool
from bakery.verify.record import Record
from provisioner.errors import NotProven


@dataclass(frozen=True)
class Queued:
    """A job in the queue, and the word that it prints first."""

    id: str
    name: str
    nonce: str


@dataclass(frozen=True)
class Jobs:
    """The two queued sample jobs: the worker must run one and reject the other."""

    matching: Queued
    foreign: Queued


def submit(pool: Pool, name: str, job: Job, commands: str = "") -> Queued:
    """Queue a job that prints a random word, its host and its user, after these shell commands."""
    nonce = secrets.token_hex(8)
    script = f"#!/bin/sh\n{commands}echo {nonce} $(uname -n) $(id -un)\n"
    return Queued(pool.submit(name, "", script, job.commands), name, nonce)


def submit_both(pool: Pool, samples: SampleJobs) -> Jobs:
    """Queue both sample jobs."""
    return Jobs(submit(pool, "matching", samples.matching), submit(pool, "foreign", samples.foreign))


def verify(worker: RunningWorker, jobs: Jobs, record: Record) -> None:
    """Run the checks of the level pool. Raises NotProven: one failed."""
    samples = worker.samples
    with record.check(f"seen in the collector, power-on to {found_as(worker)}", power_on(worker)):
        wait_listed(worker, "the collector lists the worker")
    with record.check(f"{samples.matching.title} ran on it, its output came back"):
        wait_completed(worker, jobs.matching)
    with record.check(f"{samples.foreign.title} was refused by the worker"):
        wait_rejected(worker, jobs.foreign, started_at(worker, jobs.matching))
    run_site_tests(worker.context, "pool", test_host(worker.machine), record)
    verify_power_off(worker, record)
    worker.pool.job_state(jobs.foreign.id).is_rejected(0)


def found_as(worker: RunningWorker) -> str:
    """Return the ClassAd expression that selects the worker."""
    return f"{worker.samples.name_attribute} == {pools.classad_string(worker.context.request.group_name)}"


def power_on(worker: RunningWorker) -> float | None:
    """Return when a virtual machine was started (time.monotonic()); None for a namespace machine."""
    return worker.machine.started if isinstance(worker.machine, VirtualMachine) else None


def wait_listed(worker: RunningWorker, description: str) -> None:
    """Wait until the central manager that `worker.pool` queries lists the worker."""
    name, attribute = worker.context.request.group_name, worker.samples.name_attribute
    worker.wait_until(description, lambda: worker.pool.status(name, attribute), JOIN_LIMIT)


def started_at(worker: RunningWorker, job: Queued) -> int:
    """Return when a job was started, in seconds since 1970."""
    return int(worker.pool.job_attributes(job.id, "JobStartDate")[0])


def wait_completed(worker: RunningWorker, job: Queued) -> None:
    """Wait until a job is completed, and check that it ran on the worker."""

    def completed(status: str) -> bool:
        if status == pools.HELD:
            raise NotProven(f"The {job.name} job was held: the worker could not run it.")
        return status == pools.COMPLETED

    worker.wait_until(
        f"the {job.name} job is completed",
        lambda: worker.pool.job_attributes(job.id, "JobStatus")[0],
        JOB_LIMIT,
        completed,
    )
    output = worker.pool.output(job.name).split()
    if output[:2] != [job.nonce, HOSTNAME]:
        raise NotProven(f"The job did not print its word and the worker's host name, but {output!r}.")


def wait_rejected(worker: RunningWorker, job: Queued, since: int) -> None:
    """Wait until the negotiator rejects a job after `since`, when the worker was in the pool already."""
    worker.wait_until(
        f"the pool finds no match for {worker.samples.foreign.title}",
        lambda: worker.pool.job_state(job.id),
        REFUSAL_LIMIT,
        lambda state: state.is_rejected(since),
    )
    wait_listed(worker, "the worker is still in the pool after the rejection")


def verify_power_off(worker: RunningWorker, record: Record) -> None:
    """Write a short IdleTimeout to the worker's file, and check that the worker powers off."""
    machine, seconds = worker.machine, worker.context.request.idle_seconds
    with record.check(f"powered itself off after an IdleTimeout of {seconds} s"):
        settings = {**worker.samples.conf.settings, "IdleTimeout": str(seconds)}
        conf = dataclasses.replace(worker.samples.conf, settings=settings)
        machine.put(worker.samples.file, rendering.conf_text(conf).encode(), 0o600)
        if not machine.powers_off_within(
            seconds + (RECONFIGURE_LIMIT + POWER_OFF_LIMIT) * machine.slowdown
        ):
            raise NotProven(
                f"The idle worker did not power off after its IdleTimeout was set to {seconds} s."
            )
