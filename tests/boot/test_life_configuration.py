"""However its configuration comes, a worker joins the pool with it. Real systemd, cloud-init, pool."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bakery.launch.matchmaking import samples
from bakery.machines.machine import Machine
from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import Network
from bakery.userdata import render
from bakery.verify.pool import COMPLETED, Pool
from tests.boot.life import CONF, conf, configure, started_at, wait_job, wait_joined, wait_refused

LATE, CHANGED = 'Late "comer\'s" $(group)', "Changed"
MINE, FOREIGN = "TG-CONFIGURED", "TG-NOBODY-RUNS-THIS"


@pytest.mark.parametrize("form", ["script", "cloud-config"])
def test_user_data_configures_a_worker(
    form: str, pool: Pool, network: Network, worker_image: Image, tmp_path: Path
) -> None:
    group = f"By {form}"
    told = render(conf(pool, group, f"TG-BY-{form}"), form)
    needs = Needs(user_data=told, hostname=f"by-{form}", network=network)
    with boot(needs, worker_image, tmp_path) as machine:
        wait_joined(machine, pool, group)
        assert machine.wait_up() == "running", machine.run(["systemctl", "--failed"]).stdout
        assert machine.run(["stat", "-c", "%a %U:%G", CONF]).stdout.strip() == "600 root:root"
        assert pool.ads(group, "Machine") == [f'"by-{form}"']


@pytest.fixture(scope="module")
def machine(
    network: Network, worker_image: Image, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """One that nobody has told anything; the tests below are its life, in their order."""
    work = tmp_path_factory.mktemp("late")
    with boot(Needs(hostname="late", network=network), worker_image, work) as up:
        assert up.wait_up() == "running", up.run(["systemctl", "--failed"]).stdout
        yield up


def test_a_file_that_appears_long_after_boot_configures_a_worker(machine: Machine, pool: Pool) -> None:
    machine.wait_said(f"waiting for {CONF}")
    assert not machine.succeeds("systemctl", "is-active", "condor.service")
    configure(machine, conf(pool, LATE, MINE))
    wait_joined(machine, pool, LATE)


def test_a_start_is_judged_by_ads_like_the_real_ones(machine: Machine, pool: Pool) -> None:
    """Of each attribute that this worker has, a Start without scope means the worker's."""
    address = "$(head -n 1 /var/log/condor/.startd_address)"
    told = machine.run(["sh", "-c", f'condor_status -direct "{address}" -long']).stdout
    own = {row.partition(" = ")[0] for row in told.splitlines() if " = " in row}
    assert not own - samples.WORKERS, "attributes of a real worker that samples.py does not know"
    assert not set(samples.WORKER) - own, "attributes in samples.py that a real worker does not have"

    job = pool.submit("waiting", FOREIGN, "#!/bin/sh\ntrue\n")
    names = [name for name in samples.JOB if name != "Requirements"]  # which is undefined without a worker
    has = dict(zip(names, pool.about(job, *names), strict=True))
    pool.remove(job)
    assert "undefined" not in has.values(), has


def test_a_change_of_the_file_is_followed_in_the_pool(machine: Machine, pool: Pool) -> None:
    configure(machine, conf(pool, CHANGED, MINE))
    wait_joined(machine, pool, CHANGED)
    machine.wait_until("the old name is gone", lambda: not pool.status(LATE), 120)


def test_a_job_of_the_project_runs_and_a_foreign_one_does_not(machine: Machine, pool: Pool) -> None:
    script = "#!/bin/sh\necho $(uname -n) $(id -u)\n"
    foreign = pool.submit("configured-foreign", FOREIGN, script)
    job = pool.submit("configured", MINE, script)
    assert wait_job(machine, pool, job) == COMPLETED
    host, user = pool.output("configured").split()
    assert host == "late" and user != "0"
    wait_refused(machine, pool, foreign, started_at(pool, job))
    pool.remove(foreign)


def test_a_killed_htcondor_comes_back_into_the_pool(machine: Machine, pool: Pool) -> None:
    def started() -> list[str]:
        return pool.ads(CHANGED, "DaemonStartTime")

    before = started()
    machine.run(["systemctl", "kill", "--kill-who=main", "--signal=SIGKILL", "condor.service"])
    machine.wait_until("a new startd has advertised itself", lambda: started() not in (before, []), 240)
    job = pool.submit("after-the-crash", MINE, "#!/bin/sh\necho back\n")
    wait_job(machine, pool, job)
    assert pool.output("after-the-crash") == "back\n"
