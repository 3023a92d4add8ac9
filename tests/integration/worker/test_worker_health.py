"""The health probe on a machine that is well, on one that is full, and on one whose disk hangs.

The disk is an ext4 of its own on the execute folder; frozen, it lets writers hang in the kernel,
where no signal reaches them, as a dead disk or network file system does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.namespace import NamespaceMachine
from bakery.runtime import data
from provisioner.process import run
from tests.boot.test_guest_life import booted, conf, shell, slot, write

RUNTIME = data.WORKER / "common/usr/lib/worker-bakery"
PERIOD = 12  # seconds; more than the 10 that the probe waits for a disk
EXECUTE = "/var/lib/condor/execute"


@pytest.fixture
def disk(worker_root: Path, tmp_path: Path) -> Iterator[Path]:
    """The execute folder, on a file system of its own with 1 GiB."""
    image, folder = tmp_path / "disk", worker_root / EXECUTE[1:]
    with image.open("wb") as file:
        file.truncate(1 << 30)
    run.call(["mkfs.ext4", "-q", str(image)])
    folder.mkdir(parents=True, exist_ok=True)
    run.call(["mount", "-o", "loop", str(image), str(folder)])
    run.call(["chroot", str(worker_root), "chown", "condor:condor", EXECUTE])
    yield folder
    run.call(["umount", str(folder)])


@pytest.fixture
def machine(worker_root: Path, tmp_path: Path) -> Iterator[NamespaceMachine]:
    """A configured worker that looks at itself more often."""
    often = worker_root / "etc/condor/config.d/70-test.config"
    often.write_text(f"WORKER_HEALTH_PERIOD = {PERIOD}\n")
    with booted(worker_root, tmp_path / "console") as up:
        write(up, conf())
        up.wait_until("it is healthy", lambda: slot(up, "NODE_IS_HEALTHY") == "true", 240)
        yield up


@contextmanager
def frozen(folder: Path) -> Iterator[None]:
    run.call(["fsfreeze", "--freeze", str(folder)])
    try:
        yield
    finally:  # before the machine ends: its processes cannot, while they hang
        run.call(["fsfreeze", "--unfreeze", str(folder)])


def wait_for_status(machine: NamespaceMachine, beginning: str, seconds: float) -> None:
    machine.wait_until(
        f"the slot says {beginning}",
        lambda: slot(machine, "NODE_STATUS"),
        seconds,
        lambda said: said.startswith(beginning),
    )


def wait_ill(machine: NamespaceMachine) -> None:
    machine.wait_until("the slot is ill", lambda: slot(machine, "NODE_IS_HEALTHY"), 120, "false".__eq__)


def written(machine: NamespaceMachine) -> dict[str, Any]:
    """What the machine says of itself to whoever is on it."""
    content: dict[str, Any] = json.loads(shell(machine, "cat /run/worker-bakery/health.json"))
    return content


def hanging(machine: NamespaceMachine) -> int:
    """The probe's processes that no signal reaches."""
    return int(shell(machine, "ps -eo stat,args | grep -c '^D.*worker [h]ealth'"))


def test_a_good_machine_says_so_to_the_pool_and_to_who_is_on_it(machine: NamespaceMachine) -> None:
    assert slot(machine, "NODE_STATUS") == "OK"
    said = written(machine)
    assert (said["healthy"], said["status"]) == (True, "OK")
    assert abs(said["at"] - time.time()) < 120
    assert shell(machine, "stat -L -c '%a %U' /run/worker-bakery/health.json") == "644 condor"
    assert shell(machine, "su -s /bin/sh -c 'cat /run/worker-bakery/health.json' nobody")
    assert shell(machine, "condor_config_val WORKER_HEALTH") == "( MY.NODE_IS_HEALTHY =?= True )"
    # Nothing of it is left, neither processes nor files.
    assert shell(machine, f"pgrep -fc 'worker [h]ealth'; ls -A {EXECUTE}") == "0"
    # By hand it is the same, and root leaves nothing that would be in HTCondor's way.
    by_root = shell(machine, "/usr/lib/worker-bakery/worker health")
    assert by_root.splitlines() == ["NODE_IS_HEALTHY = True", 'NODE_STATUS = "OK"']
    assert shell(machine, "find /run/worker-bakery/health ! -user condor") == ""
    assert "GPUs = 0" in shell(machine, "cat /var/log/condor/StartLog")


def test_a_full_and_a_hung_disk_are_said_and_heal(disk: Path, machine: NamespaceMachine) -> None:
    shell(machine, f"fallocate -l 600M {EXECUTE}/big")
    wait_for_status(machine, "execute file system: full, ", 240)
    wait_ill(machine)
    shell(machine, f"rm {EXECUTE}/big")
    wait_for_status(machine, "OK", 240)

    with frozen(disk):
        # "no answer in 10 s", which the next probe's "no answer since" may have replaced by now.
        wait_for_status(machine, "execute file system: no answer ", 240)
        wait_ill(machine)
        wait_for_status(machine, "execute file system: no answer since ", 240)
        first = written(machine)
        assert not first["healthy"]
        # It goes on looking, and adds no process to the one that hangs.
        machine.wait_until(
            "it has looked twice more", lambda: written(machine)["at"] - first["at"] > 1.5 * PERIOD, 240
        )
        machine.wait_until("one process hangs", lambda: hanging(machine), 120, lambda count: count == 1)
        machine.wait_until("the slot is idle", lambda: slot(machine, "Activity"), 120, "Idle".__eq__)
    wait_for_status(machine, "OK", 240)
    machine.wait_until("no process hangs", lambda: hanging(machine), 120, lambda count: count == 0)


def findings(tmp_path: Path, *checks: str) -> list[str]:
    """timed_checks.problems() in a process of its own: it forks. Each check is a name, seconds, code."""
    script = f"""
        import json, os, signal, subprocess, sys, time
        sys.dont_write_bytecode = True
        sys.path.insert(0, {str(RUNTIME)!r})
        from worker_runtime.system.timed_checks import Check, problems
        checks = [{", ".join(f"Check({check})" for check in checks)}]
        print(json.dumps(problems(checks, {str(tmp_path / "memory")!r})))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, check=True, timeout=300
    )
    found: list[str] = json.loads(done.stdout)
    return found


def test_checks_that_answer_in_every_way(tmp_path: Path) -> None:
    assert findings(
        tmp_path,
        "'good', 60, lambda: None",
        "'bad', 60, lambda: 'is bad'",
        "'raises', 60, lambda: os.stat('/nowhere')",
        "'is a bug', 60, lambda: 1 / 0",
        "'dies', 60, lambda: os.kill(os.getpid(), signal.SIGKILL)",
        "'talks', 60, lambda: (print('x' * 100000), os.system('echo y')) and None",
        "'rambles', 60, lambda: 'z' * 100000",
    ) == [
        "bad: is bad",
        "raises: No such file or directory",
        "is a bug: ZeroDivisionError",
        "dies: ended without an answer",
        "rambles: " + "z" * 4095,
    ]
    assert (tmp_path / "memory").read_text() == "{}"


def test_a_check_that_does_not_answer_is_ended_with_all_it_started(tmp_path: Path) -> None:
    started = tmp_path / "started"
    shell = f"sleep 1000 & echo $! $$ >{started}; wait"
    begun = time.monotonic()
    found = findings(
        tmp_path,
        f"'slow', 5, lambda: subprocess.call(['sh', '-c', {shell!r}])",
        "'slow too', 5, lambda: time.sleep(1000)",
        "'good', 60, lambda: None",
    )
    assert found == ["slow: no answer in 5 s", "slow too: no answer in 5 s"]
    assert time.monotonic() - begun < 500  # they would take a thousand
    assert (tmp_path / "memory").read_text() == "{}"
    for pid in started.read_text().split():
        stat = Path(f"/proc/{pid}/stat")
        assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"
