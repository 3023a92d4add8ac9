"""`worker-bakery status` of real workers: in every state that somebody brings about, beside condor_status.

test_status_command.py has advertised ads, of which the collector holds any state.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.machine import Machine
from bakery.machines.needs import Image
from bakery.machines.network import Network
from bakery.runtime import conditions
from bakery.runtime.conditions import Condition
from bakery.verify.pool.throwaway_pool import ADDRESS, IDENTITY, SUBMITTER, TRUST_DOMAIN, Pool
from tests.boot.life import conf, configure, machines, wait_job
from tests.boot.test_life_ends import UNTIL_TOLD
from tests.conftest import BASE, Ended, command

Boot = Callable[[str], Machine]
GROUP, PROJECT = "Seen", "TG-SEEN"
LIMIT = 240  # seconds, for a slow machine
STATES = {
    "at-work": "busy",
    "at-rest": "idle",
    "leaving": "draining",
    "left": "drained",
    "full": "unhealthy",
    "mistaken": "Start error",
}
MENDED = {**dict.fromkeys(STATES, "idle"), "at-work": "busy", "leaving": "busy"}
# Without a time for retirement, a job on a worker that is drained is ended at once.
SITE, SETTINGS = (
    "/etc/condor/config.d/85-site.config",
    "WORKER_HEALTH_PERIOD = 5\nMAXJOBRETIREMENTTIME = 3600\n",
)
MISTAKE = (
    f'TARGET.ProjectName == "{PROJECT}" && isOneOf(TARGET.Owner, "alice")'  # there is no such function
)
EXECUTE = "/var/lib/condor/execute"
OWNED = f"install -d -o condor -g condor {EXECUTE}"
FILL = f"{OWNED} && mount -t tmpfs -o size=64m tmpfs {EXECUTE} && {OWNED}"
REASON = 'a kernel "update"'


@pytest.fixture
def start(network: Network, baked: dict[str, Any], image_root: Path, tmp_path: Path) -> Iterator[Boot]:
    """Machines of these names, until the test ends."""
    image = Image(Path(baked["path"]), image_root, BASE.login)
    with machines(image, network, tmp_path) as started:
        yield started


def status(network: Network, *argv: str) -> Ended:
    words = ("status", "--pool", ADDRESS, "--group", GROUP, *argv)
    return command("worker-bakery", *words, prefix=network.argv([]))


def rows(network: Network) -> dict[str, dict[str, Any]]:
    done = status(network, "--json")
    assert done.status == 0, done.err
    return {worker["name"]: worker for worker in json.loads(done.out)["workers"]}


def wait_states(network: Network, wanted: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Until the workers have these states; their rows."""

    def states() -> dict[str, str]:
        return {name: worker["state"] for name, worker in rows(network).items()}

    conditions.wait(Condition("the states of the workers", states, LIMIT, wanted.__eq__))
    return rows(network)


def slots(pool: Pool, argv: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The ads that a command line of condor_status finds, by machine."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in STATES}
    for ad in json.loads(pool._tool(*argv, "-json")):
        found[ad["Machine"]].append(ad)
    return found


def is_as_in(worker: Mapping[str, Any], ads: list[dict[str, Any]]) -> None:
    """Assert that a row is what these ads are."""
    claimed = [ad for ad in ads if ad["State"] in ("Claimed", "Preempting")]
    [whole] = [ad for ad in ads if ad["SlotType"] == "Partitionable"]
    assert worker["jobs"] == sorted(ad["JobId"] for ad in claimed)
    assert worker["users"] == sorted({ad["RemoteOwner"] for ad in claimed})
    assert (worker["slots_busy"], worker["cpus_busy"]) == (len(claimed), sum(ad["Cpus"] for ad in claimed))
    assert worker["memory_busy"] == sum(ad["Memory"] for ad in claimed)
    assert (worker["cpus"], worker["memory"]) == (whole["TotalSlotCpus"], whole["TotalSlotMemory"])
    assert (worker["healthy"], worker["health"]) == (whole["NODE_IS_HEALTHY"], whole["NODE_STATUS"])
    assert worker["image"] == whole["WorkerImage"]
    assert worker["identity"] == whole["AuthenticatedIdentity"] == IDENTITY
    assert (worker["idle"] is None) is bool(claimed)
    assert worker["up"] <= whole["MyCurrentTime"] - whole["DaemonStartTime"] + LIMIT


def brought_about(start: Boot, pool: Pool) -> dict[str, Machine]:
    """The workers, configured; two of them so that no job can start there."""
    workers = {name: start(name) for name in STATES}
    for name, machine in workers.items():
        machine.wait_booted()
        machine.put(SITE, SETTINGS.encode())
        if name == "full":
            machine.run(["sh", "-c", FILL])
        told = conf(pool, GROUP, PROJECT)
        configure(machine, replace(told, start=MISTAKE) if name == "mistaken" else told)
    return workers


def drain(pool: Pool, name: str, *argv: str) -> None:
    """As the administrator of the pool does it, on the central manager; DNS does not know the worker."""
    pool._tool("condor_drain", "-pool", ADDRESS, *argv, f"slot1@{name}")


def test_the_states_of_real_workers(start: Boot, pool: Pool, network: Network) -> None:
    workers = brought_about(start, pool)
    joined = status(network, "--wait", str(len(STATES)), "--timeout", f"{LIMIT}s")
    assert joined.status == 0, joined.err
    jobs = {}
    for name in ("at-work", "leaving"):
        there = {"requirements": f'TARGET.Machine == "{name}"'}
        jobs[name] = pool.submit(f"seen-{name}", PROJECT, UNTIL_TOLD, there)
    wait_states(network, {**STATES, "leaving": "busy", "left": "idle"})
    for name in ("leaving", "left"):
        drain(pool, name, "-graceful", "-reason", REASON)
    found = wait_states(network, STATES)
    line = status(network).err.partition("HTCondor: ")[2]
    ads = slots(pool, shlex.split(line))
    for name, worker in found.items():
        is_as_in(worker, ads[name])
    assert [found[name]["jobs"] for name in jobs] == [[job] for job in jobs.values()]
    assert found["at-work"]["users"] == [f"{SUBMITTER}@{TRUST_DOMAIN}"]
    assert [found[name]["drain_reason"] for name in ("leaving", "left")] == [REASON, REASON]
    is_told(status(network).out)
    mend(workers, pool)
    wait_states(network, MENDED)
    for name, job in jobs.items():
        workers[name].put("/home/end", b"")
        wait_job(workers[name], pool, job)
    wait_states(network, dict.fromkeys(STATES, "idle"))


def is_told(table: str) -> None:
    """Assert that the table has the states, the reasons and the numbers."""
    for name, state in STATES.items():
        assert re.search(rf"^{name} +{state} ", table, re.MULTILINE), table
    assert "WARNING: full is unhealthy: execute file system: full, " in table
    assert "WARNING: Start of mistaken has an error, so no job ever starts there: " in table
    for name in ("leaving", "left"):
        assert f"{name} is draining: {REASON}\n" in table
    listed = "1 busy, 1 idle, 1 draining, 1 drained, 1 unhealthy, 1 Start error"
    assert f"6 workers ({listed}); claimed: 2 of " in table


def mend(workers: Mapping[str, Machine], pool: Pool) -> None:
    """Undo what keeps jobs from the workers."""
    for name in ("leaving", "left"):
        drain(pool, name, "-cancel")
    workers["full"].run(["umount", EXECUTE])
    configure(workers["mistaken"], conf(pool, GROUP, PROJECT))
