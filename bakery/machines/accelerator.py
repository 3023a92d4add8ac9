"""What a virtual machine can really run on here. A device that opens proves nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from provisioner import run
from provisioner.errors import BakeryError, MissingHere, NotProven
from provisioner.monitor import Monitor, warn

_PROBE_SECONDS = 30
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
    problem = _problem(kernel, work)
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


def _problem(kernel: Path, work: Path) -> str:
    if not Path("/dev/kvm").exists():
        return "there is no /dev/kvm"
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
