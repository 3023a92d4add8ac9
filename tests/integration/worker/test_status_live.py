"""The watch's socket, with real processes at both ends; and a real worker, waited for from the first.

What there is of a pool is in tests/boot/test_life_configuration.py.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bakery.machines import namespace
from bakery.runtime import data
from tests.boot.test_guest_life import conf, wait_well, write

RUNTIME = data.WORKER / "common/usr/lib/worker-bakery"
LIMIT = 60  # seconds, for the slowest machine
HEAD = f"""
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, {str(RUNTIME)!r})
import json, os
from worker_runtime.system import status_socket
"""
# As the watch does it: a look begins when its number is printed, and lasts until a line is read.
WATCH = """
server, number = status_socket.StatusServer(), 0
glance = lambda: os.path.exists(sys.argv[1])
before = glance()
print("ready", flush=True)
while True:
    server.wait(600, glance, before)
    before = glance()
    number += 1
    print(number, flush=True)
    sys.stdin.readline()
    server.answer(json.dumps({"number": number, "more": "x" * 50000}).encode())
"""
ASK = """
try:
    print(status_socket.request(float(sys.argv[1]))["number"])
except status_socket.NoAnswer as reason:
    print(type(reason).__name__, reason)
"""
NUDGE = "status_socket.wake_watch()"


@dataclass(frozen=True)
class Watch:
    process: subprocess.Popen[str]
    home: Path

    @property
    def address(self) -> Path:
        return self.home / "run/status.socket"

    def begins_look(self) -> int:
        """Its number, once it has begun."""
        assert self.process.stdout
        assert select.select([self.process.stdout], [], [], LIMIT)[0], "no look has begun"
        return int(self.process.stdout.readline())

    def ends_look(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def connect(self) -> socket.socket:
        """Somebody who has asked by the time this returns."""
        asking = socket.socket(socket.AF_UNIX)
        asking.settimeout(LIMIT)
        folder = os.open(self.address.parent, os.O_RDONLY)
        try:
            asking.connect(f"/proc/self/fd/{folder}/{self.address.name}")
        finally:
            os.close(folder)
        return asking


def answer(asking: socket.socket) -> int:
    with asking, asking.makefile("rb") as file:
        return int(json.loads(file.read())["number"])


@contextmanager
def program(text: str, home: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """One of the worker's runtime, whose places are in this folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HEAD + text, *arguments],
        env={**os.environ, "WORKER_BAKERY_HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def told(home: Path, text: str, *arguments: str) -> str:
    """What a program of the runtime says until its end."""
    with program(text, home, *arguments) as process:
        return process.communicate(timeout=LIMIT)[0].strip()


@contextmanager
def watching(home: Path) -> Iterator[Watch]:
    with program(WATCH, home, str(home / "changes")) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        yield Watch(process, home)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder whose name is longer than a socket's address may be."""
    made = tmp_path / ("deep-" * 30)
    made.mkdir()
    return made


@pytest.fixture
def watch(home: Path) -> Iterator[Watch]:
    with watching(home) as up:
        yield up


def test_one_look_answers_all_who_asked_before_it_and_nobody_else(watch: Watch) -> None:
    first = watch.connect()
    assert watch.begins_look() == 1
    second, third = watch.connect(), watch.connect()
    watch.ends_look()
    assert answer(first) == 1
    assert watch.begins_look() == 2
    watch.ends_look()
    assert (answer(second), answer(third)) == (2, 2)


def test_a_change_is_looked_at_and_so_is_a_nudge(watch: Watch) -> None:
    (watch.home / "changes").touch()
    assert watch.begins_look() == 1
    watch.ends_look()
    assert told(watch.home, NUDGE) == ""
    assert watch.begins_look() == 2
    watch.ends_look()


def test_who_goes_away_and_who_never_listens_hold_nobody_up(watch: Watch) -> None:
    deaf = [watch.connect() for _ in range(5)]
    assert watch.begins_look() == 1
    watch.connect().close()
    watch.ends_look()
    assert watch.begins_look() == 2
    listens = watch.connect()
    watch.ends_look()
    assert watch.begins_look() == 3
    watch.ends_look()
    assert answer(listens) == 3
    assert {answer(asking) for asking in deaf} <= {1, 2}


def test_asked_by_the_runtime_itself(watch: Watch) -> None:
    with program(ASK, watch.home, str(LIMIT)) as asks:
        assert watch.begins_look() == 1
        watch.ends_look()
        assert asks.communicate(timeout=LIMIT)[0] == "1\n"
    assert told(watch.home, ASK, "1") == "TimedOut the watch did not answer within 1 s"


def test_a_watch_that_is_not_there_or_ends_or_is_started_again(home: Path) -> None:
    assert told(home, ASK, "1").startswith("NotRunning ")
    assert told(home, NUDGE) == ""
    with watching(home) as watch, program(ASK, home, str(LIMIT)) as asks:
        assert watch.begins_look() == 1
        watch.process.kill()
        assert asks.communicate(timeout=LIMIT)[0] == "NotRunning the watch ended before it answered\n"
    assert watch.address.is_socket()
    assert told(home, ASK, "1") == "NotRunning the watch does not run"
    with watching(home) as again:
        asking = again.connect()
        assert again.begins_look() == 1
        again.ends_look()
        assert answer(asking) == 1
        assert [path.name for path in again.address.parent.iterdir()] == ["status.socket"]


def test_nobody_else_may_ask(root_only: None, watch: Watch) -> None:
    assert watch.address.stat().st_mode & 0o777 == 0o600
    script = f"""
import os, socket
os.chdir({str(watch.address.parent)!r})
os.setgid(65534)
os.setuid(65534)
try:
    socket.socket(socket.AF_UNIX).connect({watch.address.name!r})
except PermissionError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


def test_a_worker_is_waited_for_from_before_there_is_anything_to_ask(
    worker_root: Path, tmp_path: Path
) -> None:
    """By a unit that starts first of all, before the watch and long before the worker's file is there."""
    units = worker_root / "etc/systemd/system"
    (units / "early.service").write_text(EARLY)
    wanted = units / "sysinit.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "early.service").symlink_to("/etc/systemd/system/early.service")
    console = tmp_path / "console"
    with namespace.boot(worker_root, console=console, arguments=["cloud-init=disabled"]) as machine:
        wait_well(machine)
        # systemd counts the watch as started before it listens.
        machine.wait_until(
            "the watch answers", lambda: "State:   waiting" in machine.output("worker-image", "status"), 120
        )
        waiting = machine.run(
            ["worker-image", "wait", "--for", "configured", "--timeout", "1"], expect=(1,)
        )
        assert waiting.stderr == (
            "not configured within 1 s: waiting: there is no valid configuration yet; "
            "waiting for /etc/osg-worker.conf (missing or empty)\n"
        )
        assert machine.run(["systemctl", "is-active", "early"], expect=(0, 3)).stdout == "active\n"
        write(machine, conf("First"))
        machine.wait_until(
            "the early one is told", lambda: not machine.succeeds("systemctl", "is-active", "early"), 120
        )
        said = json.loads(machine.run(["worker-image", "status", "--json"]).stdout)
        assert (said["group"], said["pending"], said["live"]) == ("First", "", True)
        assert machine.succeeds("grep", "-q", "^starting: \\|^joining: ", "/run/early")
        # A wait that is in vain says what is in the way.
        vain = ["worker-image", "wait", "--for", "joined", "--timeout", "20s"]
        assert "cannot be reached: Connection refused" in machine.run(vain, expect=(1,)).stderr


EARLY = """\
[Unit]
DefaultDependencies=no

[Service]
ExecStart=/bin/sh -c 'exec worker-image wait --for configured --timeout 1h >/run/early'
"""
