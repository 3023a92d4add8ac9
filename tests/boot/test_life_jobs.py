"""Jobs that mean harm, run by a real pool on a worker. Their sources are in the folder jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bakery.machines.machine import Machine
from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import Network
from bakery.userdata.rendering import render
from bakery.verify.pool.throwaway_pool import COMPLETED, HELD, Pool
from tests.boot import metadata
from tests.boot.life import conf, submitted, wait_job, wait_joined
from tests.conftest import Folders

JOBS = Path(__file__).parent / "jobs"
GROUP, PROJECT, HOSTNAME = "Harmed", "TG-HARM", "harmed"
# As a site may set it: how often HTCondor measures jobs and the worker looks after its own health.
SOONER = b"STARTER_UPDATE_INTERVAL = 5\nWORKER_HEALTH_PERIOD = 15\n"
# Seconds until a job that takes too much is held. HTCondor measures at the jobs' updates.
STOP = 240
# Seconds until a worker is itself again: the job's files removed, its own health looked at anew.
RECOVER = 240


@dataclass(frozen=True)
class Worker:
    machine: Machine
    token: str
    asked: list[str]  # what the metadata service was asked for


@pytest.fixture(scope="module")
def worker(pool: Pool, network: Network, worker_image: Image, folders: Folders) -> Iterator[Worker]:
    """Told by its cloud, which has a metadata service, what it is to do; for all tests of this file."""
    told = conf(pool, GROUP, PROJECT)
    user_data = render(told, "script")
    needs = Needs(user_data=user_data, hostname=HOSTNAME, network=network)
    with (
        metadata.serving(network, user_data) as asked,
        boot(needs, worker_image, folders(HOSTNAME)) as machine,
    ):
        wait_joined(machine, pool, GROUP)
        machine.wait_booted()
        machine.put("/etc/condor/config.d/85-sooner.config", SOONER)
        machine.run(["condor_reconfig"])
        yield Worker(machine, told.token, asked)


def source(name: str) -> str:
    return (JOBS / name).read_text()


def attempts(output: str) -> dict[str, str]:
    """What became of each attempt that steal.sh prints."""
    lines = [line.rpartition(": ") for line in output.splitlines() if not line.startswith(" ")]
    return {what: outcome for what, _, outcome in lines if what}


def test_a_job_cannot_get_at_the_token_and_root_can(worker: Worker, pool: Pool) -> None:
    by_root = worker.machine.run(["sh"], stdin=source("steal.sh").encode()).stdout
    assert len(attempts(by_root)) == 17
    assert {what for what, outcome in attempts(by_root).items() if outcome != "READ"} == set()
    assert "Token = [token]" in by_root  # our own hiding: root did read one
    assert set(metadata.PATHS) <= set(worker.asked)

    worker.asked.clear()
    with submitted(pool, "steal", PROJECT, source("steal.sh")) as job:
        wait_job(worker.machine, pool, job)
    output = pool.output("steal")
    assert attempts(output).keys() == attempts(by_root).keys()
    assert {what for what, outcome in attempts(output).items() if outcome != "refused"} == set()
    assert worker.token.rpartition(".")[2] not in output
    assert worker.asked == []


@pytest.mark.parametrize("name", ["eat-memory.py", "fill-disk.sh"])
def test_a_job_that_takes_more_than_it_asked_for_is_held_and_told_why(
    name: str, worker: Worker, pool: Pool
) -> None:
    with submitted(pool, name, PROJECT, source(name)) as job:
        assert wait_job(worker.machine, pool, job, (HELD, COMPLETED), STOP) == HELD
        starts, reason = pool.job_attributes(job, "NumShadowStarts", "HoldReason")
        assert (starts, "memory" in reason or "disk" in reason) == ("1", True), reason
        takes_the_next_job(worker, pool, f"after-{name}")


def test_a_job_that_forks_without_bound_is_stopped(worker: Worker, pool: Pool) -> None:
    name = "fork-without-bound.py"
    with submitted(pool, name, PROJECT, source(name)) as job:
        if wait_job(worker.machine, pool, job, (HELD, COMPLETED), STOP) == COMPLETED:
            assert "refused after" in pool.output(name)
        worker.machine.wait_until("its processes are gone", lambda: not any_fork(worker.machine), 120)
        takes_the_next_job(worker, pool, f"after-{name}")


def any_fork(machine: Machine) -> bool:
    return machine.succeeds("pgrep", "-f", "^sleep-of-a-fork")


def takes_the_next_job(worker: Worker, pool: Pool, name: str) -> None:
    """The worker is as it was, to its user's next job at least."""
    with submitted(pool, name, PROJECT, "#!/bin/sh\nuname -n\n") as job:
        wait_job(worker.machine, pool, job, seconds=RECOVER)
    assert pool.output(name) == f"{HOSTNAME}\n"
    assert worker.machine.run(["systemctl", "show", "-p", "NRestarts", "condor.service"]).stdout == (
        "NRestarts=0\n"
    )
