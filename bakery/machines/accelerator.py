"""What a virtual machine can really run on here. A device that opens proves nothing."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from bakery.runtime.files import write_private
from bakery.store.store import default_root
from provisioner.errors import BakeryError, MissingHere, NotProven
from provisioner.events import Monitor, warn
from provisioner.process import run

DEVICE = Path("/dev/kvm")
_PROBE_SECONDS = 30
# A failed trial takes half a minute, and what failed once on a boot of this machine fails again.
_REMEMBERED = 86400  # seconds
# A kernel without a root file system has come all the way up when it says this.
_ALIVE = "Unable to mount root fs"


@dataclass(frozen=True)
class Accelerator:
    """QEMU's options, and how many times slower than KVM to expect things."""

    name: str
    options: tuple[str, ...]
    slower: float


KVM = Accelerator("kvm", ("-accel", "kvm", "-cpu", "host"), 1.0)
TCG = Accelerator("tcg", ("-accel", "tcg,thread=multi", "-cpu", "max"), 5.0)


def choose(wanted: str, kernel: Path, work: Path, monitor: Monitor) -> Accelerator:
    """`wanted` is auto, kvm or tcg; `kernel` a vmlinuz of the guest. Raises MissingHere for kvm."""
    if wanted == "tcg":
        return TCG
    problem = _remembered(kernel) or _tried(kernel, work)
    if not problem:
        return KVM
    if wanted == "kvm":
        raise MissingHere(
            f"KVM was asked for, but {problem}.", "Use --accel tcg (slow) or another machine."
        )
    warn(monitor, f"No KVM: {problem}. Booting by software emulation, about {TCG.slower:.0f} times slower.")
    return TCG


def kernel(root: Path) -> Path:
    """The newest vmlinuz of a root directory. Raises NotProven."""
    for pattern in ("usr/lib/modules/*/vmlinuz", "boot/vmlinuz-*"):
        found = sorted(root.glob(pattern))
        if found:
            return found[-1]
    raise NotProven("The image has no kernel.")


def memory() -> Path:
    """Where it is kept that KVM did not work."""
    return default_root() / "no-kvm.json"


def _remembered(kernel: Path) -> str:
    """Why KVM did not work, if the same was tried within a day; "" otherwise."""
    try:
        kept = json.loads(memory().read_text())
        age = time.time() - kept["at"]
        if kept["tried"] != _what(kernel) or not 0 <= age < _REMEMBERED:
            return ""
        return f"{kept['problem']}, tried {age / 60:.0f} min ago and remembered in {memory()}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _tried(kernel: Path, work: Path) -> str:
    if not DEVICE.exists():
        return "there is no /dev/kvm"
    problem = _problem(kernel, work)
    if problem:
        memory().parent.mkdir(parents=True, exist_ok=True)
        kept = {"at": int(time.time()), "tried": _what(kernel), "problem": problem}
        write_private(memory(), json.dumps(kept).encode())
    return problem


def _what(kernel: Path) -> list[str]:
    """This boot of this machine, its QEMU, and the guest's kernel."""
    qemu = Path(shutil.which("qemu-system-x86_64") or "").stat()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return [boot, f"{qemu.st_mtime_ns}", kernel.name, f"{kernel.stat().st_size}"]


def _problem(kernel: Path, work: Path) -> str:
    log = work / "kvm-probe.log"
    machine = ["-M", "q35", "-m", "512", "-nodefaults", "-display", "none", "-no-reboot"]
    boot = ["-kernel", str(kernel), "-append", "console=ttyS0 panic=-1", "-serial", f"file:{log}"]
    try:
        run.call(["qemu-system-x86_64", *KVM.options, *machine, *boot], seconds=_PROBE_SECONDS)
    except BakeryError as error:
        last = str(error).rstrip().splitlines()[-1]
        return f"the guest's kernel did not start on /dev/kvm ({last})"
    return (
        ""
        if log.exists() and _ALIVE in log.read_text("utf-8", "replace")
        else "the guest's kernel fell over"
    )
