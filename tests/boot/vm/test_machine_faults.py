"""Machines that do not come up: noticed as early as can be, named, with their logs; no process stays."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bakery.machines import vm
from bakery.machines.accelerator import KVM
from bakery.machines.needs import Image
from bakery.store.store import Store
from bakery.verify import verification
from provisioner.errors import NotProven
from provisioner.events import Event
from provisioner.process import run
from tests.boot.vm.kernel_words import booted_with
from tests.conftest import BASE, Folders
from tests.integration.bake.test_kill import ends_in_order, nothing_stays, processes_of, start_until

BOOTED = "booted (bios), ssh answered"


@dataclass
class Onlooker:
    """A monitor that kills QEMU, if it is to, when the machine has been switched on."""

    store: Store
    kills: bool = False
    told: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        self.told.append(event)
        if self.kills and event == {"event": "begin", "name": BOOTED}:
            for pid in processes_of(self.store.root):
                if Path(f"/proc/{pid}/comm").read_text().startswith("qemu-system"):
                    os.kill(pid, signal.SIGKILL)


def refused(image: Path, store: Store, *, seconds: int = 120, kills: bool = False) -> NotProven:
    """What the verification says of an image that it boots by software emulation."""
    request = verification.Request(image, ("boot",), BASE.login, accelerator="tcg", boot_seconds=seconds)
    with pytest.raises(NotProven) as caught:
        verification.verify(request, store, Onlooker(store, kills))
    nothing_stays(store.root)
    assert list((store.root / "work").iterdir()) == []
    assert caught.value.where == f"level boot: {BOOTED}"
    return caught.value


def log(error: NotProven, name: str) -> str:
    return (Path(error.log) / name).read_text()


@pytest.fixture(scope="module")
def panics(worker_image: Image, folders: Folders) -> Iterator[Path]:
    """The image with a word too much on its kernel's command line: there is no init, so to speak."""
    folder = folders("panics")
    with booted_with("rdinit=/usr/bin/true", worker_image.path, folder) as image:
        yield image


@pytest.fixture
def own(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def test_a_panic_is_named_and_not_waited_for(panics: Path, own: Store) -> None:
    error = refused(panics, own)
    assert "The machine cannot boot: The guest's kernel panicked: [" in error.message
    assert "Still waiting for: an answer on ssh." in error.message
    assert "Attempted to kill init" in error.message
    assert "Kernel panic - not syncing" in log(error, "serial.log")


def test_qemu_s_death_is_noticed_and_told(worker_image: Image, own: Store) -> None:
    error = refused(worker_image.path, own, kills=True)
    assert "The machine has ended: QEMU was killed by signal 9." in error.message
    assert "Still waiting for: an answer on ssh." in error.message


def test_a_machine_that_does_not_answer_in_time_is_told_with_its_console(
    worker_image: Image, own: Store
) -> None:
    error = refused(worker_image.path, own, seconds=2)
    assert "Timed out after 10 s waiting for: an answer on ssh. Last answer: False." in error.message
    assert "The last lines of its console:" in error.message
    assert {path.name for path in Path(error.log).iterdir()} == {"events.log", "serial.log", "qemu.log"}
    assert "error: Timed out after 10 s" in log(error, "events.log")


# The image's own ssh server, with what it needs; in a sandbox, so that all of it goes again.
SSHD = (
    'mount -t tmpfs none "$0/run"; mkdir "$0/run/sshd"; mount -t tmpfs none "$0/dev"; '
    'for node in null urandom; do touch "$0/dev/$node"; mount --bind "/dev/$node" "$0/dev/$node"; done; '
    'ssh-keygen -q -t ed25519 -N "" -f "$0/run/key"; '
    'exec chroot "$0" /usr/sbin/sshd -D -e -h /run/key -o ListenAddress=127.0.0.1 -p "$1"'
)


def test_a_refused_key_is_named(worker_root: Path, tmp_path: Path) -> None:
    """By a real ssh server, which does not know the key; no machine is booted for it."""
    port = vm.free_port()
    console = tmp_path / vm.SERIAL
    console.write_text("ci-info: no authorized SSH keys fingerprints found for user debian.\n")
    argv = run.sandbox_argv(["sh", "-ec", SSHD, str(worker_root), str(port)])
    with run.background(argv, log=tmp_path / vm.QEMU_LOG) as process:
        login = vm.Login(BASE.login, vm.new_key(tmp_path))
        settings = vm.Settings(tmp_path / "none", tmp_path / "none", login, KVM)
        machine = vm.VirtualMachine(console, process, settings, port, time.monotonic())
        machine.wait_ssh(60)
        with pytest.raises(NotProven) as caught:
            machine.wait_login(2)
    assert "Timed out after 2 s waiting for: debian can log in. Last answer: " in caught.value.message
    assert "Permission denied (publickey" in caught.value.message


def test_stopped_while_the_machine_boots(worker_image: Image, own: Store) -> None:
    argv = (
        "worker-bakery",
        "verify",
        "--json",
        "--level",
        "boot",
        "--accel",
        "tcg",
        str(worker_image.path),
    )
    killed = start_until(BOOTED, own.root, *argv)
    killed.kill()
    killed.communicate()
    nothing_stays(own.root)
    ends_in_order(start_until(BOOTED, own.root, *argv), signal.SIGINT, own.root)
