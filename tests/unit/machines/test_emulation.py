"""Emulated machines take turns on the processors of the host."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from bakery.machines import emulation, vm
from bakery.machines.accelerator import KVM, TCG
from bakery.runtime import data
from provisioner.events import Event


class Notes:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def emit(self, event: Event) -> None:
        self.texts.append(event["text"])


@pytest.fixture(autouse=True)
def two_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_BAKERY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


@pytest.mark.parametrize(("processors", "machines"), [(1, 1), (2, 1), (3, 1), (4, 2), (64, 32)])
def test_places(processors: int, machines: int) -> None:
    assert emulation.places(processors) == machines


def test_a_second_machine_waits_until_the_first_one_has_ended() -> None:
    here, there = multiprocessing.Pipe()
    second = multiprocessing.get_context("fork").Process(target=_second, args=(there,))
    second.start()  # before this process has the lock, which a copy of its descriptor would keep
    with emulation.turn(TCG, Notes()):
        here.send("begin")
        assert here.recv() == "Waiting until another emulated machine has ended."
        assert not here.poll()
    assert here.recv() == "holds"
    second.join()


def _second(connection: Connection) -> None:
    class Pipe:
        def emit(self, event: Event) -> None:
            connection.send(event["text"])

    connection.recv()
    with emulation.turn(TCG, Pipe()):
        connection.send("holds")


def test_four_processors_have_places_for_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    notes = Notes()
    with emulation.turn(TCG, notes), emulation.turn(TCG, notes):
        pass
    assert notes.texts == []


def test_machines_with_kvm_do_not_wait() -> None:
    notes = Notes()
    with emulation.turn(TCG, notes), emulation.turn(KVM, notes):
        pass
    assert notes.texts == []


def test_the_machines_of_packer_have_as_many_processors() -> None:
    assert f'["-smp", "{vm.Settings.cpus}"]' in (data.ROOT / "packer/worker.pkr.hcl").read_text()
