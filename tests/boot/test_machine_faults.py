"""Machines that do not come up: noticed as early as can be, named, with their logs; no process stays."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bakery import qemu
from bakery.machines.needs import Image
from bakery.store import Store
from bakery.verify import ladder
from provisioner import run
from provisioner.errors import NotProven
from provisioner.monitor import Event
from tests.conftest import BASE
from tests.integration.test_kill import ends_in_order, nothing_stays, processes_of, start_until

ESP = 1 << 20  # bytes, where mkosi puts the first partition
GRUB = "::/grub/grub.cfg"
BOOTED = "booted (bios), ssh answered"


@dataclass
class Onlooker:
    """A monitor that kills QEMU, if it is to, when the machine has been switched on."""

    store: Store
    kills: bool = False
    told: list[Event] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        self.told.append(event)
        if self.kills and event == {"event": "begin", "name": BOOTED}:
            for pid in processes_of(self.store.root):
                if Path(f"/proc/{pid}/comm").read_text().startswith("qemu-system"):
                    os.kill(pid, signal.SIGKILL)


def refused(image: Path, store: Store, *, seconds: int = 120, kills: bool = False) -> NotProven:
    """What the verification says of an image that it boots by software emulation."""
    request = ladder.Request(image, ("boot",), BASE.login, accelerator="tcg", boot_seconds=seconds)
    with pytest.raises(NotProven) as caught:
        ladder.verify(request, store, Onlooker(store, kills))
    nothing_stays(store.root)
    assert list((store.root / "work").iterdir()) == []
    assert caught.value.where == BOOTED
    return caught.value


def log(error: NotProven, name: str) -> str:
    return (Path(error.log) / name).read_text()


@pytest.fixture(scope="module")
def panics(worker_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The image with a word too much on its kernel's command line: there is no init, so to speak."""
    folder = tmp_path_factory.mktemp("panics")
    disk, config, image = folder / "disk.raw", folder / "grub.cfg", folder / "panics.qcow2"
    qemu.to_raw(worker_image.path, disk)
    where = f"{disk}@@{ESP}"
    run.call(["mcopy", "-i", where, GRUB, str(config)])
    told, changed = re.subn(r"(?m)^(\s*linux .*)$", r"\1 rdinit=/usr/bin/true", config.read_text())
    assert changed
    config.write_text(told)
    run.call(["mcopy", "-o", "-i", where, str(config), GRUB])
    qemu.to_qcow2(disk, image)
    disk.unlink()
    yield image
    image.unlink()


@pytest.fixture
def own(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def test_a_panic_is_named_and_not_waited_for(panics: Path, own: Store) -> None:
    error = refused(panics, own)
    assert "The machine will not answer on ssh. The guest's kernel panicked: [" in error.message
    assert "Attempted to kill init" in error.message
    assert "Kernel panic - not syncing" in log(error, "serial.log")


def test_qemu_s_death_is_noticed_and_told(worker_image: Image, own: Store) -> None:
    error = refused(worker_image.path, own, kills=True)
    assert "The machine did not answer on ssh: QEMU was killed by signal 9." in error.message


def test_a_machine_that_does_not_answer_in_time_is_told_with_its_console(
    worker_image: Image, own: Store
) -> None:
    error = refused(worker_image.path, own, seconds=2)
    assert "The machine did not answer on ssh within 10 s." in error.message
    assert "The last lines of its serial console:" in error.message
    assert {path.name for path in Path(error.log).iterdir()} == {"events.log", "serial.log", "qemu.log"}
    assert "error: The machine did not answer" in log(error, "events.log")


def test_stopped_while_the_machine_boots(worker_image: Image, own: Store) -> None:
    argv = ("verify-image", "--json", "--level", "boot", "--accel", "tcg", str(worker_image.path))
    killed = start_until(BOOTED, own.root, *argv)
    killed.kill()
    killed.communicate()
    nothing_stays(own.root)
    ends_in_order(start_until(BOOTED, own.root, *argv), signal.SIGINT, own.root)
