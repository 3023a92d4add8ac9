"""What the tests of a worker's life say again and again."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Lock

from bakery.machines.machine import Machine
from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import Network
from bakery.userdata.rendering import WorkerConf, conf_text, start_expression
from bakery.verify.pool.throwaway_pool import ADDRESS, COMPLETED, Pool
from provisioner.errors import NotProven

CONF = "/etc/osg-worker.conf"
REAL_ROUNDS = """\
NEGOTIATOR_INTERVAL = 60
NEGOTIATOR_CYCLE_DELAY = 20
NEGOTIATOR_MIN_INTERVAL = 5
"""
# Seconds, for a slow machine. HTCondor sends its first ad a few seconds after its start, and one that
# says that the worker is healthy some seconds later; the pool matches each 5 s.
JOIN, JOB = 120, 240
# What agetty(8) shows above the prompt for a login; it requires a terminal.
SHOW_ISSUE = ("python3", "-c", "import pty; pty.spawn(['/usr/sbin/agetty', '--show-issue'])")


def conf(pool: Pool, group: str, project: str, idle: int = 600) -> WorkerConf:
    """A worker of this pool, for the jobs of one project."""
    return WorkerConf(
        token=pool.worker_token(),
        start=start_expression(projects=[project]),
        group_name=group,
        central_manager=ADDRESS,
        settings={"IdleTimeout": str(idle)},
    )


def configure(machine: Machine, told: WorkerConf) -> None:
    """Give a machine its configuration, as somebody who has logged in would."""
    machine.put(CONF, conf_text(told).encode(), 0o600)


def reconfigure(machine: Machine, told: WorkerConf, **settings: str) -> None:
    """Change settings of the file that a machine has been told: of one that is in the pool already."""
    configure(machine, dataclasses.replace(told, settings={**told.settings, **settings}))


def wait_joined(machine: Machine, pool: Pool, group: str) -> None:
    machine.wait_until(f"the collector knows of {group}", lambda: bool(pool.status(group)), JOIN)


def wait_job(
    machine: Machine, pool: Pool, job: str, ends: Sequence[str] = (COMPLETED,), seconds: float = JOB
) -> str:
    """Until the job's status is one of these, which is returned."""

    with explained(pool, job):
        return machine.wait_until(
            f"job {job} ends",
            lambda: pool.job_attributes(job, "JobStatus")[0],
            seconds,
            lambda now: now in ends,
        )


def wait_refused(machine: Machine, pool: Pool, job: str, since: int) -> None:
    """Until the pool has found no match for a job after that moment (seconds since 1970)."""
    machine.wait_until(
        f"job {job} is refused", lambda: pool.job_state(job), JOB, lambda seen: seen.is_rejected(since)
    )


def started_at(pool: Pool, job: str) -> int:
    """Seconds since 1970."""
    return int(pool.job_attributes(job, "JobStartDate")[0])


@contextlib.contextmanager
def real_rounds(pool: Pool) -> Iterator[None]:
    """The negotiator's rounds are as far apart as HTCondor has them by default, while the block runs.

    A dedicated scheduler asks for slots again while its claims of the last round are under way; one
    second later it is given the same slots twice, and its job waits for a lease to end.
    """
    config = pool.root / "etc/condor/config.d/20-rounds.config"
    config.write_text(REAL_ROUNDS)
    pool.reconfigure()
    try:
        yield
    finally:
        config.unlink()
        pool.reconfigure()


@contextlib.contextmanager
def machines(image: Image, network: Network, folder: Path) -> Iterator[Callable[[str], Machine]]:
    """Machines by their names, until the block ends. Threads may ask for them; they boot one by one."""
    one_by_one = Lock()
    with contextlib.ExitStack() as stack:

        def started(name: str) -> Machine:
            work = folder / name
            work.mkdir()
            with one_by_one:
                return stack.enter_context(boot(Needs(hostname=name, network=network), image, work))

        yield started


@contextlib.contextmanager
def submitted(pool: Pool, name: str, project: str, script: str) -> Iterator[str]:
    """A job of this name, and out of the queue when the block ends, whatever became of it."""
    job = pool.submit(name, project, script)
    try:
        yield job
    finally:
        pool.remove(job)


@contextlib.contextmanager
def explained(pool: Pool, job: str) -> Iterator[None]:
    """With what the pool has to say of a job that does not do as it should."""
    try:
        yield
    except NotProven as error:
        about = pool.job_attributes(job, "JobStatus", "HoldReason", "LastRejMatchReason")
        raise NotProven(f"{error.message} Status, HoldReason, rejected: {about}", error.hint) from None
