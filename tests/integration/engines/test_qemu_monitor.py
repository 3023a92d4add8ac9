"""Snapshots with a real QEMU whose processors are stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bakery.engines.packer import disk_layers, qmp
from bakery.runtime import qemu_img
from provisioner.errors import BakeryError
from provisioner.process import run

SIZE = 16 << 20


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Path]:
    """The folder of a machine with an overlay; its path exceeds the limit for socket names."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    disk, base = folder / "disk.qcow2", folder / "base.qcow2"
    run.call(["qemu-img", "create", "-q", "-f", "qcow2", str(base), str(SIZE)])
    qemu_img.overlay(base, disk)
    argv = ["qemu-system-x86_64", "-S", "-accel", "tcg", "-nodefaults", "-display", "none"]
    drive = f"id={disk_layers.DRIVE},file={disk},if=virtio,format=qcow2,cache=unsafe,discard=unmap"
    monitor = ("-qmp", "unix:qmp,server=on,wait=off")
    with run.background([*argv, "-drive", drive, *monitor], log=folder / "qemu.log", cwd=folder) as process:
        while not listens(folder / "qmp"):
            assert process.poll() is None, (folder / "qemu.log").read_text()
            time.sleep(0.1)
        yield folder


def listens(path: Path) -> bool:
    """QEMU makes the socket first, and accepts connections later."""
    try:
        with qmp.connected(path):
            return True
    except (BakeryError, FileNotFoundError):
        return False


def write(folder: Path, pattern: int) -> None:
    """Write a pattern with QEMU, as the guest would."""
    with qmp.connected(folder / "qmp") as monitor:
        command = f'qemu-io {disk_layers.DRIVE} "write -P {pattern} 0 64k"'
        stream = monitor.execute("human-monitor-command", **{"command-line": command})
        assert "wrote 65536" in stream or stream == "", stream


def begins_with(disk: Path, pattern: int) -> bool:
    with disk.open("rb") as raw:
        return raw.read(64 << 10) == bytes([pattern]) * (64 << 10)


def test_a_snapshot_is_complete_at_once_and_does_not_change(machine: Path) -> None:
    first = machine / "disk.qcow2"
    write(machine, 1)
    layer = disk_layers.overlay_after(first, 7)
    disk_layers._create_overlay(layer, first, SIZE)
    qmp.snapshot(machine / "qmp", disk_layers.DRIVE, layer)
    # QEMU is running and has both files open.
    qemu_img.to_qcow2(first, machine / "kept.qcow2", "qcow2")
    write(machine, 2)
    with qmp.connected(machine / "qmp") as monitor:
        monitor.execute("quit")
    for disk, pattern in ((machine / "kept.qcow2", 1), (disk_layers.top(first), 2)):
        assert bool(qemu_img.other_files(disk)) == (disk.name != "kept.qcow2")
        qemu_img.to_raw(disk, machine / "disk.raw")
        assert begins_with(machine / "disk.raw", pattern)


def test_a_missing_overlay_is_reported_with_qemu_s_message(machine: Path) -> None:
    with pytest.raises(BakeryError, match=r"QEMU refused blockdev-snapshot-sync: .*No such file"):
        qmp.snapshot(machine / "qmp", disk_layers.DRIVE, machine / "disk-7.qcow2")


def test_an_exited_qemu_is_reported(machine: Path) -> None:
    with qmp.connected(machine / "qmp") as monitor:
        monitor.execute("quit")
    with pytest.raises(BakeryError, match=r"does not respond|closed the QMP"):
        qmp.snapshot(machine / "qmp", disk_layers.DRIVE, machine / "disk-7.qcow2")
