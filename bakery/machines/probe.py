"""`python -m bakery.machines.probe WORK < '{"disk": …, "wanted": …}'`, in a room: what QEMU can run on.

Asked before a disk is booted whose kernel nobody has mounted yet.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from bakery import qemu, rooms
from bakery.machines import accelerator as accelerators
from bakery.machines.accelerator import KVM, TCG, Accelerator
from provisioner import errors
from provisioner.disk import mount_root
from provisioner.monitor import JsonLines, Monitor, warn

_ROOT, _DISK = "probe-root", "probe.raw"


def choose(wanted: str, disk: Path, work: Path, monitor: Monitor) -> Accelerator:
    """`wanted` is auto, kvm or tcg; `disk` a qcow2. Raises MissingHere for kvm."""
    if wanted == "tcg":
        return TCG
    if os.geteuid() != 0:
        return _untried(wanted, monitor)
    command = [sys.executable, "-P", "-m", "bakery.machines.probe", str(work)]
    told = rooms.relay(command, json.dumps({"disk": str(disk), "wanted": wanted}).encode(), monitor)
    return KVM if told["accelerator"] == KVM.name else TCG


def _untried(wanted: str, monitor: Monitor) -> Accelerator:
    """Only root can take the guest's kernel out of its disk and try it."""
    if wanted == "kvm" or os.access("/dev/kvm", os.R_OK | os.W_OK):
        warn(
            monitor,
            "KVM is used untried, as only root can try it with the guest's kernel (else --accel tcg).",
        )
        return KVM
    warn(
        monitor, f"No KVM: /dev/kvm is not for us. Software emulation, about {TCG.slower:.0f} times slower."
    )
    return TCG


def main() -> int:
    work, monitor = Path(sys.argv[1]), JsonLines(sys.stdout)
    try:
        asked = json.load(sys.stdin)
        chosen = _in_room(Path(asked["disk"]), asked["wanted"], work, monitor)
    except errors.BakeryError as error:
        monitor.tell(errors.to_event(error))
        return error.exit_code
    monitor.tell({"event": "result", "accelerator": chosen.name})
    return 0


def _in_room(disk: Path, wanted: str, work: Path, monitor: Monitor) -> Accelerator:
    root, raw = work / _ROOT, work / _DISK
    root.mkdir()
    qemu.to_raw(disk, raw)
    mount_root(raw, root, read_only=True)
    raw.unlink()
    return accelerators.choose(wanted, accelerators.kernel(root), work, monitor)


if __name__ == "__main__":
    sys.exit(main())
