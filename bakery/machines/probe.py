"""Run as `python -m bakery.machines.probe WORK < '{"disk": …, "wanted": …}'` in a sandbox: probe a disk.

Find out whether the root of a disk can be mounted here, and which accelerator its kernel boots with.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from bakery.machines import accelerator as accelerators
from bakery.machines.accelerator import KVM, TCG, Accelerator
from bakery.runtime import privileges, qemu_img, sandbox
from provisioner import errors
from provisioner.disk.file_systems import mount_root
from provisioner.errors import BakeryError, Interrupted
from provisioner.events import JsonLines, Monitor, warn
from provisioner.process import run


def choose(wanted: str, disk: Path, work: Path, monitor: Monitor) -> Accelerator:
    """Choose an accelerator: `wanted` is auto, kvm or tcg, `disk` a qcow2 with the guest's kernel.

    Raises MissingHere: kvm is wanted, but does not work.
    """
    if wanted == "tcg":
        return TCG
    if privileges.mount_obstacle():
        return _choose_unprobed(wanted, monitor)
    result = _run_probe({"disk": str(disk), "wanted": wanted}, work, monitor)
    return KVM if result["accelerator"] == KVM.name else TCG


def mount_problem(disk: Path, work: Path, monitor: Monitor) -> str:
    """Return why the root of a disk (qcow2) cannot be mounted here; "" if it can."""
    try:
        _run_probe({"disk": str(disk), "wanted": ""}, work, monitor)
    except Interrupted:
        raise
    except BakeryError as error:
        return str(error)
    return ""


def _run_probe(question: dict[str, str], work: Path, monitor: Monitor) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", "bakery.machines.probe", str(work)]
    return sandbox.run_module(command, json.dumps(question).encode(), monitor)


def _choose_unprobed(wanted: str, monitor: Monitor) -> Accelerator:
    """Choose by the access to /dev/kvm: only root can read the guest's kernel from its disk."""
    if wanted == "kvm" or os.access("/dev/kvm", os.R_OK | os.W_OK):
        warn(
            monitor,
            "KVM is used without a test, which requires root. If the machine fails, use --accel tcg.",
        )
        return KVM
    warn(
        monitor,
        "KVM does not work: this user may not open /dev/kvm."
        f" Using software emulation, about {TCG.slowdown:.0f} times slower.",
    )
    return TCG


def main() -> int:
    work, monitor = Path(sys.argv[1]), JsonLines(sys.stdout)
    try:
        request = json.load(sys.stdin)
        with tempfile.TemporaryDirectory(dir=work) as folder:
            name = _probe(Path(request["disk"]), request["wanted"], Path(folder), monitor)
    except BakeryError as error:
        monitor.emit(errors.to_event(error))
        return error.exit_code
    monitor.emit({"event": "result", "accelerator": name})
    return 0


def _probe(disk: Path, wanted: str, folder: Path, monitor: Monitor) -> str:
    """Mount the root of a disk; return the name of its accelerator, "" if none is wanted."""
    root, raw = folder / "root", folder / "disk.raw"
    root.mkdir()
    qemu_img.to_raw(disk, raw)
    mount_root(raw, root, read_only=True)
    try:
        return (
            accelerators.choose(wanted, accelerators.find_kernel(root), folder, monitor).name
            if wanted
            else ""
        )
    finally:
        run.call(["umount", "--recursive", str(root)])


if __name__ == "__main__":
    sys.exit(main())
