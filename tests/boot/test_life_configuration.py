"""However its configuration comes, a worker joins the pool with it. Real systemd, cloud-init, pool."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakery.image import recipe
from bakery.machines.machine import Machine
from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import Network
from bakery.userdata.matchmaking import samples
from bakery.userdata.rendering import conf_text, render
from bakery.verify.pool.throwaway_pool import COMPLETED, GROUP, Pool
from tests.boot.life import (
    CONF,
    SHOW_ISSUE,
    conf,
    configure,
    started_at,
    wait_job,
    wait_joined,
    wait_refused,
)
from tests.conftest import Folders

LATE, CHANGED = 'Late "comer\'s" $(group)', "Changed"
SITE, LOOKED_AT = "/etc/condor/config.d/95-test.config", "/var/lib/looked-at"
SELDOM = "UPDATE_INTERVAL = 3600\nWORKER_HEALTH_PERIOD = 5\n"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
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
        assert machine.wait_booted() == "running", machine.run(["systemctl", "--failed"]).stdout
        assert machine.run(["stat", "-c", "%a %U:%G", CONF]).stdout.strip() == "600 root:root"
        date = int((worker_image.root / recipe.IMAGE[1:]).stat().st_mtime)
        assert pool.slot_attributes(group, "Machine", "WorkerImageDate") == [f'"by-{form}" {date}']
        [image] = pool.slot_attributes(group, "WorkerImageID", "WorkerImageVersion")
        assert "Worker image " + image.replace('"', "") in machine.output(*SHOW_ISSUE)


@pytest.fixture(scope="module")
def machine(network: Network, worker_image: Image, folders: Folders) -> Iterator[Machine]:
    """One that nobody has told anything; the tests below are its life, in their order."""
    work = folders("late")
    with boot(Needs(hostname="late", network=network), worker_image, work) as up:
        assert up.wait_booted() == "running", up.run(["systemctl", "--failed"]).stdout
        yield up


def test_a_file_that_appears_long_after_boot_configures_a_worker(machine: Machine, pool: Pool) -> None:
    machine.wait_for_console_text(f"waiting for {CONF}")
    assert not machine.succeeds("systemctl", "is-active", "condor.service")
    configure(machine, conf(pool, LATE, MINE))
    wait_joined(machine, pool, LATE)


# HTCondor knows it only if the device number of the file system is small, and many are mounted here.
NOT_ALWAYS = {"HasRotationalScratch"}


def own_attributes(machine: Machine) -> set[str]:
    """The names of the attributes in the ads of the machine's startd."""
    address = "$(head -n 1 /var/log/condor/.startd_address)"
    told = machine.run(["sh", "-c", f'condor_status -direct "{address}" -long']).stdout
    return {row.partition(" = ")[0] for row in told.splitlines() if " = " in row}


def test_a_start_is_judged_by_ads_like_the_real_ones(machine: Machine, pool: Pool) -> None:
    """Of each attribute that this worker has, a Start without scope means the worker's."""
    lacking = machine.wait_until(  # the probes and the benchmarks add attributes later
        "it has all attributes of samples.py",
        lambda: set(samples.WORKER) - own_attributes(machine) - NOT_ALWAYS,
        120,
        lambda found: not found,
    )
    assert not lacking
    unknown = own_attributes(machine) - samples.WORKER_ATTRIBUTES
    assert not unknown, "attributes of a real worker that samples.py does not know"

    job = pool.submit("waiting", FOREIGN, "#!/bin/sh\ntrue\n")
    names = [name for name in samples.JOB if name != "Requirements"]  # which is undefined without a worker
    has = dict(zip(names, pool.job_attributes(job, *names), strict=True))
    pool.remove(job)
    assert "undefined" not in has.values(), has


def test_a_change_of_the_file_is_followed_in_the_pool(machine: Machine, pool: Pool) -> None:
    configure(machine, conf(pool, CHANGED, MINE))
    wait_joined(machine, pool, CHANGED)
    machine.wait_until("the old name is gone", lambda: not pool.status(LATE), 120)


@pytest.fixture
def unasked(machine: Machine) -> Iterator[Machine]:
    """The same, whose HTCondor tells the pool next to nothing by itself, and looks at another folder."""
    machine.run(["install", "-d", "-o", "condor", LOOKED_AT])
    machine.put(SITE, f"{SELDOM}STARTD_CRON_HEALTH_ENV = WORKER_EXECUTE={LOOKED_AT}\n".encode())
    machine.run(["condor_reconfig"])
    yield machine
    machine.run(["rm", SITE])
    machine.run(["condor_reconfig"])


def as_shown(text: str) -> str:
    """As condor_status unparses it."""
    return '"' + text.replace('"', '\\"') + '"'


def status(machine: Machine, *by: str) -> dict[str, Any]:
    """What `worker-image status` tells root, or somebody else."""
    said: dict[str, Any] = json.loads(machine.run([*by, "worker-image", "status", "--json"]).stdout)
    return said


def wait_for(machine: Machine, state: str, *by: str, seconds: int = 120) -> str:
    argv = [*by, "worker-image", "wait", "--for", state, "--timeout", str(seconds)]
    return machine.run(argv, seconds=2 * seconds).stdout


def test_the_status_is_of_the_file_as_it_is_and_the_pool_hears_at_once(
    unasked: Machine, pool: Pool
) -> None:
    for name in ("Told once", 'Told "twice" $(x) \\ é', CHANGED):
        configure(unasked, conf(pool, name, MINE))
        said = status(unasked)
        assert said["live"] and (said["group"] == name or said["pending"]), said
        wait_for(unasked, "configured")
        said = status(unasked)
        assert (said["group"], said["pending"], said["problems"], said["live"]) == (name, "", [], True), (
            said
        )
        wait_for(unasked, "idle")
        assert pool.slot_attributes("late", GROUP, name_attribute="Machine") == [as_shown(name)]


def test_the_pool_hears_of_the_health_at_once(unasked: Machine, pool: Pool) -> None:
    def shown() -> list[str]:
        return pool.slot_attributes(CHANGED, "NODE_IS_HEALTHY")

    unasked.wait_until("it is well", lambda: shown() == ["true"], 120)
    unasked.run(["mv", LOOKED_AT, f"{LOOKED_AT}.gone"])
    unasked.wait_until("the pool has heard", lambda: shown() == ["false"], 120)
    unasked.run(["mv", f"{LOOKED_AT}.gone", LOOKED_AT])
    unasked.wait_until("the pool has heard that", lambda: shown() == ["true"], 120)


def test_a_file_that_cannot_be_used_is_told_of_and_waited_for(machine: Machine, pool: Pool) -> None:
    good = conf_text(conf(pool, CHANGED, MINE))
    machine.put(CONF, good.replace("Start = ", "Start = ) ").encode(), 0o600)
    machine.wait_until("it is refused", lambda: bool(status(machine)["problems"]), 120)
    [problem] = status(machine)["problems"]
    assert f"Problem: {problem}\n" in machine.run(["worker-image", "status"]).stdout
    argv = ["worker-image", "wait", "--for", "configured", "--timeout", "1s"]
    done = machine.run([*argv], expect=(1,))
    assert "not configured within 1 s: " in done.stderr and problem in done.stderr
    machine.run(["systemd-run", "--quiet", "--unit=waits", *argv[:-1], "5m"])
    machine.put(CONF, good.encode(), 0o600)
    machine.wait_until(
        "the wait ends", lambda: not machine.succeeds("systemctl", "is-active", "waits"), 120
    )
    assert not machine.succeeds("systemctl", "is-failed", "waits")
    assert status(machine)["problems"] == []


def test_others_than_root_see_the_last_look_and_its_age(machine: Machine) -> None:
    said = status(machine, *NOBODY)
    assert (said["live"], said["watched"], said["remark"]) == (False, True, "only root may ask the watch")
    assert 0 <= said["age"] < 60
    assert "\nAs of:   " in machine.run([*NOBODY, "worker-image", "status"]).stdout
    # For whom waits, looks before that do not count; so the watch looks again.
    assert wait_for(machine, "idle", *NOBODY).startswith("idle: ")
    ask = "import socket; socket.socket(socket.AF_UNIX).connect('/run/worker-bakery/status.socket')"
    refused = machine.run([*NOBODY, "python3", "-c", ask], expect=(1,)).stderr
    assert "PermissionError" in refused
    assert machine.run(["stat", "-c", "%a %U", "/run/worker-bakery/status.socket"]).stdout == "600 root\n"


def test_a_watch_that_does_not_run_is_said_and_nothing_passes_for_of_now(machine: Machine) -> None:
    machine.run(["systemctl", "stop", "worker-life.service"])
    done = machine.run(["worker-image", "status"], expect=(3,))
    assert "\nCaution: " in done.stdout
    assert " ago: worker-life.service does not run (inactive)\n" in done.stdout
    argv = ["worker-image", "wait", "--for", "idle", "--timeout", "1"]
    assert (
        "of an earlier inspection; worker-life.service does not run"
        in machine.run(argv, expect=(1,)).stderr
    )
    machine.run(["systemctl", "start", "worker-life.service"])
    wait_for(machine, "idle")
    # Who waits while it is started again does not notice.
    machine.run(["systemctl", "kill", "--signal=SIGKILL", "worker-life.service"])
    wait_for(machine, "idle")


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
        return pool.slot_attributes(CHANGED, "DaemonStartTime")

    before = started()
    machine.run(["systemctl", "kill", "--kill-who=main", "--signal=SIGKILL", "condor.service"])
    machine.wait_until("a new startd has advertised itself", lambda: started() not in (before, []), 240)
    job = pool.submit("after-the-crash", MINE, "#!/bin/sh\necho back\n")
    wait_job(machine, pool, job)
    assert pool.output("after-the-crash") == "back\n"
