"""`python -m bakery.machines.probe WORK < '{"disk": …, "wanted": …}'`, in a sandbox: a disk is tried.

Asked of a disk that nobody has mounted yet: whether that can be done, and what its kernel runs on.
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
from bakery.runtime import qemu_img, sandbox
from provisioner import errors
from provisioner.disk.file_systems import mount_root
from provisioner.errors import BakeryError
from provisioner.events import JsonLines, Monitor, warn
from provisioner.process import run


def choose(wanted: str, disk: Path, work: Path, monitor: Monitor) -> Accelerator:
    """`wanted` is auto, kvm or tcg; `disk` a qcow2. Raises MissingHere for kvm."""
    if wanted == "tcg":
        return TCG
    if os.geteuid() != 0:
        return _untried(wanted, monitor)
    told = _ask({"disk": str(disk), "wanted": wanted}, work, monitor)
    return KVM if told["accelerator"] == KVM.name else TCG


def mount_problem(disk: Path, work: Path, monitor: Monitor) -> str:
    """Why the root of a disk (qcow2) cannot be mounted here; "" if it can."""
    try:
        _ask({"disk": str(disk), "wanted": ""}, work, monitor)
    except BakeryError as error:
        return str(error)
    return ""


def _ask(question: dict[str, str], work: Path, monitor: Monitor) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", "bakery.machines.probe", str(work)]
    return sandbox.run_module(command, json.dumps(question).encode(), monitor)


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
        with tempfile.TemporaryDirectory(dir=work) as folder:
            name = _in_sandbox(Path(asked["disk"]), asked["wanted"], Path(folder), monitor)
    except BakeryError as error:
        monitor.emit(errors.to_event(error))
        return error.exit_code
    monitor.emit({"event": "result", "accelerator": name})
    return 0


def _in_sandbox(disk: Path, wanted: str, folder: Path, monitor: Monitor) -> str:
    """The name of the accelerator, if one is wanted; that the root can be mounted is an answer, too."""
    root, raw = folder / "root", folder / "disk.raw"
    root.mkdir()
    qemu_img.to_raw(disk, raw)
    mount_root(raw, root, read_only=True)
    try:
        return (
            accelerators.choose(wanted, accelerators.kernel(root), folder, monitor).name if wanted else ""
        )
    finally:
        run.call(["umount", "--recursive", str(root)])


if __name__ == "__main__":
    sys.exit(main())
