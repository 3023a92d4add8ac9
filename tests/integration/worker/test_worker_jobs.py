"""Jobs on a worker that is a small real pool by itself: what they see of it, and when it takes none.

Jobs that take more than is theirs are in tests/boot/test_life_jobs.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.namespace import NamespaceMachine
from tests.boot.test_guest_life import booted, conf, macros, shell, write

JOBS = Path(__file__).parent.parent / "jobs"
SOONER = """\
UPDATE_INTERVAL = 5
STARTER_UPDATE_INTERVAL = 5
"""
# The probe is told of a folder that can be taken away, under jobs that run elsewhere.
HEALTH = """\
WORKER_GUARDS = $(WORKER_HEALTH)
WORKER_HEALTH_PERIOD = 2
STARTD_CRON_HEALTH_ENV = WORKER_EXECUTE=/var/lib/looked-at
"""
POOL = """\
DAEMON_LIST = MASTER, STARTD, COLLECTOR, NEGOTIATOR, SCHEDD
NETWORK_INTERFACE = 127.0.0.1
ENABLE_IPV6 = False
SHARED_PORT_PORT = 9618
ALLOW_ADVERTISE_STARTD = *
ALLOW_ADVERTISE_MASTER = *
NEGOTIATOR_INTERVAL = 2
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
SCHEDD_INTERVAL = 2
"""
SUBMIT = """\
executable = /usr/bin/python3
transfer_executable = False
arguments = {arguments}
transfer_input_files = {name}.py
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
request_cpus = 1
request_memory = 200
request_disk = 20480
coresize = 1000000000
output = {name}.out
error = {name}.err
log = {name}.log
queue
"""
HOME = "/home/alice"


@pytest.fixture
def machine(worker_root: Path, tmp_path: Path) -> Iterator[NamespaceMachine]:
    """A worker with its own pool, and Alice, who submits."""
    (worker_root / "etc/condor/config.d/95-test.config").write_text(SOONER + HEALTH + POOL)
    with booted(worker_root, tmp_path / "console") as up:
        up.run(["useradd", "--create-home", "alice"])
        up.run(["install", "-d", "-o", "condor", "/var/lib/looked-at"])
        write(up, conf())
        up.wait_until("the pool has the slot", lambda: "slot1@" in shell(up, "condor_status -af Name"), 240)
        yield up


def submit(machine: NamespaceMachine, name: str, *arguments: str) -> None:
    for suffix, text in (
        (".py", (JOBS / f"{name}.py").read_text()),
        (".sub", SUBMIT.format(name=name, arguments=" ".join((f"{name}.py", *arguments)))),
    ):
        machine.run(["su", "alice", "-c", f"cat >{HOME}/{name}{suffix}"], stdin=text.encode())
    machine.run(["su", "alice", "-c", f"cd {HOME} && condor_submit -batch-name {name} {name}.sub"])


def job(machine: NamespaceMachine, name: str, *attributes: str) -> list[str]:
    """Of a job in the queue; nothing if it has left that."""
    return shell(
        machine, f"condor_q -all -const 'JobBatchName == \"{name}\"' -af:t {' '.join(attributes)}"
    ).split("\t")


def wait_rejected(machine: NamespaceMachine, name: str, since: int) -> int:
    """Until the negotiator has found no slot for it after that moment; the new moment."""

    def when() -> int:
        [said] = job(machine, name, "LastRejMatchTime")
        return int(said) if said.isdigit() else 0

    return machine.wait_until(f"{name} is rejected", when, 240, lambda now: now > since)


def output_of(machine: NamespaceMachine, name: str, *arguments: str) -> str:
    submit(machine, name, *arguments)
    machine.wait_until(f"{name} is done", lambda: job(machine, name, "JobStatus") == [""], 240)
    return shell(machine, f"cat {HOME}/{name}.out {HOME}/{name}.err")


def accounts(machine: NamespaceMachine) -> dict[str, int]:
    rows = [row.split(":") for row in shell(machine, "getent passwd | grep ^slot").splitlines()]
    assert {(row[5], row[6]) for row in rows} == {("/nonexistent", "/usr/sbin/nologin")}
    return {row[0]: int(row[2]) for row in rows}


def processes_of_jobs(machine: NamespaceMachine) -> str:
    return shell(machine, "ps -eo user:16,stat,args | grep '^slot[0-9]'")


def test_a_job_sees_nothing_of_the_worker_s_and_leaves_nothing(machine: NamespaceMachine) -> None:
    cpus = int(shell(machine, "nproc --all"))
    slots = accounts(machine)
    assert set(slots) == {f"slot{number}" for number in range(cpus + 1)}
    nothing = {"/etc/osg-worker.conf": "PermissionError", "/etc/condor/tokens.d": ""}
    nothing |= {"/var/log/condor": "", "/var/log/condor/StartLog": "PermissionError"}
    readable = {"/run/worker-bakery/health": "list,enter", "/var/lib/condor/execute": "list,enter"}
    said: dict[str, Any] = json.loads(output_of(machine, "looks_around", *nothing, *readable))
    assert said["uid"] in set(slots.values()) - {slots["slot0"]}
    assert len(said["groups"]) == 1
    assert said["tmp"] == [[], [], []]
    assert said["core"] == [0, 0] and said["processes"] == [4096, 4096]
    assert said["paths"] == nothing | readable

    output_of(machine, "stays_behind")
    machine.wait_until("its process has gone", lambda: processes_of_jobs(machine) == "", 120)
    # Once more for the same machine: nothing is made twice.
    before = shell(machine, "cat /etc/passwd /etc/condor/config.d/81-worker-resources.config")
    machine.run(["systemctl", "restart", "worker-resources.service"])
    after = shell(machine, "cat /etc/passwd /etc/condor/config.d/81-worker-resources.config")
    assert after == before


def test_an_ill_machine_takes_no_new_job_and_lets_the_old_one_be(machine: NamespaceMachine) -> None:
    def healthy() -> list[str]:
        """Of the partitionable slot, and of the one that the job got."""
        return shell(machine, "condor_status -af NODE_IS_HEALTHY").split()

    submit(machine, "waits")
    machine.wait_until("it runs", lambda: job(machine, "waits", "JobStatus") == ["2"], 240)
    machine.wait_until("the pool has heard", lambda: healthy() == ["true", "true"], 120)
    begun = job(machine, "waits", "JobCurrentStartDate")
    machine.run(["mv", "/var/lib/looked-at", "/var/lib/gone"])
    machine.wait_until("the pool has heard that", lambda: healthy() == ["false", "false"], 120)

    submit(machine, "looks_around")
    # Rejected twice: in one round, the negotiator may still have had an ad from before.
    first = wait_rejected(machine, "looks_around", 0)
    wait_rejected(machine, "looks_around", first)
    assert job(machine, "looks_around", "JobStatus") == ["1"]
    assert job(machine, "waits", "JobStatus", "JobCurrentStartDate") == ["2", *begun]
    machine.run(["mv", "/var/lib/gone", "/var/lib/looked-at"])
    machine.wait_until("the other runs", lambda: job(machine, "looks_around", "JobStatus") == [""], 240)
    assert job(machine, "waits", "JobStatus", "JobCurrentStartDate") == ["2", *begun]


def test_the_limits_as_they_are_baked(worker_root: Path, tmp_path: Path) -> None:
    with booted(worker_root, tmp_path / "console") as machine:
        read = macros(
            machine, "STARTER_UPDATE_INTERVAL", "WORKER_LEAST_DISK", "WORKER_MOST_PROCESSES",
            "RESERVED_DISK", "CGROUP_MEMORY_LIMIT_POLICY", "MOUNT_UNDER_SCRATCH",
        )  # fmt: skip
        assert read == ["60", "1048576", "2048", "1024", "hard", '"/tmp,/var/tmp"']
        shown = shell(machine, "systemctl show -p LimitNPROC -p LimitCORE condor.service")
        assert shown.splitlines() == ["LimitCORE=0", "LimitNPROC=4096"]
