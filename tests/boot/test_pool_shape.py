"""A pool as the OSPool is: two managers, brokers of connections that are no managers. One of each dies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.machine import Machine
from bakery.machines.needs import Image
from bakery.machines.network import isolated
from bakery.userdata.rendering import WorkerConf
from bakery.verify.pool import throwaway_pool as pools
from bakery.verify.pool.throwaway_pool import ADDRESS, BROKERS, SECOND, Pool
from tests.boot.life import conf, configure, machines, submitted, wait_job
from tests.conftest import Folders

GROUP, PROJECT = "Two managers", "TG-TWO"
# Behind a port that several share, the port still answers.
GONE = "took the connection and closed it: its collector does not run"
WAIT = 240  # seconds, for a slow machine
UNTIL_TOLD = "#!/bin/sh\nwhile [ ! -e /home/end ]; do sleep 1; done\necho done\n"


@pytest.fixture(scope="module")
def like_ospool(root_only: None, worker_image: Image, folders: Folders) -> Iterator[Pool]:
    """On a network of its own: one pool has one address."""
    with isolated(folders("network")) as network:
        work = folders("pool")
        with pools.start_in_sandbox(worker_image.root, work, network, "ospool") as up:
            yield up


def status(machine: Machine) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        machine.run(["worker-image", "status", "--json"], expect=(0, 3)).stdout
    )
    return found


def troubles(machine: Machine) -> list[str]:
    return sorted(one["problem"] for one in status(machine)["servers"] if one["problem"])


def connected(pool: Pool, broker: str) -> str:
    """How many daemons a broker can call."""
    return pool._tool(
        "condor_status", "-pool", broker, "-collector", "-af", "CCBEndpointsConnected"
    ).strip()


def told(pool: Pool) -> WorkerConf:
    plain = conf(pool, GROUP, PROJECT)
    brokers = f"{ADDRESS}:9618?sock=broker1,{BROKERS[1]}"
    more = {"CCBAddress": brokers, "TrustDomain": pool.shape.trust_domain}
    return replace(plain, central_manager=f"{ADDRESS},{SECOND}", settings={**plain.settings, **more})


def test_a_manager_and_a_broker_die(like_ospool: Pool, worker_image: Image, tmp_path: Path) -> None:
    pool, second = like_ospool, replace(like_ospool, manager=SECOND)
    assert pool.network
    with machines(worker_image, pool.network, tmp_path) as start:
        machine = start("two-managers")
        machine.wait_booted()
        configure(machine, told(pool))
        for one in (pool, second):
            machine.wait_until(f"{one.manager} knows it", partial(one.status, GROUP), WAIT)
        names = ("CONDOR_HOST", "COLLECTOR_HOST", "CCB_ADDRESS", "TRUST_DOMAIN")
        assert machine.run(["condor_config_val", *names]).stdout.splitlines() == [
            f"{ADDRESS},{ADDRESS}", f"{ADDRESS},{SECOND}", ",".join(BROKERS), pool.shape.trust_domain,
        ]  # fmt: skip
        machine.wait_until(
            "its servers were asked", lambda: len(status(machine)["servers"]), WAIT, lambda n: n == 4
        )
        assert troubles(machine) == []
        assert [connected(pool, broker) for broker in BROKERS] == ["1", "1"]
        with submitted(pool, "before", PROJECT, UNTIL_TOLD) as before:
            machine.wait_until(
                "the job runs", lambda: pool.job_attributes(before, "JobStatus"), WAIT, ["2"].__eq__
            )
            pool.switch("COLLECTOR", on=False)
            a_manager_is_gone(machine)
            machine.put("/home/end", b"")
            wait_job(machine, pool, before)
        with submitted(pool, "after", PROJECT, UNTIL_TOLD) as after:
            wait_job(machine, pool, after)
        assert pool.output("after") == "done\n"
        a_broker_goes_and_comes(machine, pool)


def a_manager_is_gone(machine: Machine) -> None:
    machine.wait_until("it says which manager is gone", lambda: troubles(machine), WAIT, bool)
    [trouble] = troubles(machine)
    assert trouble == f"{ADDRESS} {GONE}"
    said = machine.run(["worker-image", "status"]).stdout.splitlines()
    assert f"Problem: {trouble}" in said
    assert said[0] == "State:   running"


def a_broker_goes_and_comes(machine: Machine, pool: Pool) -> None:
    pool.switch("BROKER1", on=False)
    found = machine.wait_until("two are gone", lambda: troubles(machine), WAIT, lambda said: len(said) == 2)
    assert found[1] == f"connection broker: {BROKERS[0]} {GONE}"
    assert status(machine)["state"] == "idle"
    pool.switch("BROKER1", on=True)
    machine.wait_until("it is back", lambda: troubles(machine), WAIT, lambda said: len(said) == 1)
    machine.wait_until("it can be called again", lambda: connected(pool, BROKERS[0]), WAIT, "1".__eq__)
    console = machine.console_text()
    assert found[1] in console and f"{BROKERS[0]} answers again" in console
