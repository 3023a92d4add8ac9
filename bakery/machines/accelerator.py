"""Choose QEMU's accelerator by booting the guest's kernel; access to /dev/kvm alone proves nothing."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from bakery.runtime import host_paths
from bakery.runtime.files import write_private
from bakery.store.store import default_root
from provisioner.errors import BakeryError, Interrupted, MissingHere, NotProven
from provisioner.events import Monitor, warn
from provisioner.process import run

DEVICE = Path("/dev/kvm")
_PROBE_SECONDS = 30
# A failed test takes 30 s, and fails again until this machine is rebooted.
_CACHE_SECONDS = 86400
# The last message of a kernel that has booted without a root file system.
_BOOTED = "Unable to mount root fs"


@dataclass(frozen=True)
class Accelerator:
    """QEMU's options, and the factor by which to multiply time limits (1 with KVM)."""

    name: str
    options: tuple[str, ...]
    slowdown: float


KVM = Accelerator("kvm", ("-accel", "kvm", "-cpu", "host"), 1.0)
TCG = Accelerator("tcg", ("-accel", "tcg,thread=multi", "-cpu", "max"), 5.0)


def choose(wanted: str, kernel: Path, work: Path, monitor: Monitor) -> Accelerator:
    """Choose an accelerator: `wanted` is auto, kvm or tcg, `kernel` a vmlinuz of the guest.

    Raises MissingHere: kvm is wanted, but does not work.
    """
    if wanted == "tcg":
        return TCG
    problem = _cached_failure(kernel) or _test_and_cache(kernel, work)
    if not problem:
        return KVM
    if wanted == "kvm":
        raise MissingHere(f"KVM does not work: {problem}.", "Use --accel tcg (slow) or another machine.")
    warn(
        monitor,
        f"KVM does not work: {problem}. Using software emulation, about {TCG.slowdown:.0f} times slower.",
    )
    return TCG


def find_kernel(root: Path) -> Path:
    """Return the newest vmlinuz of a root directory. Raises NotProven: it has none."""
    for pattern in ("usr/lib/modules/*/vmlinuz", "boot/vmlinuz-*"):
        found = sorted(root.glob(pattern))
        if found:
            return found[-1]
    raise NotProven("The image has no kernel.")


def failure_file() -> Path:
    """Return the file of the cache that records why KVM failed."""
    return default_root() / "no-kvm.json"


def _cached_failure(kernel: Path) -> str:
    """Return why KVM failed in the same test within a day; "" otherwise."""
    try:
        kept = json.loads(failure_file().read_text())
        age = time.time() - kept["at"]
        if kept["tried"] != _cache_key(kernel) or not 0 <= age < _CACHE_SECONDS:
            return ""
        return f"{kept['problem']}, tested {age / 60:.0f} min ago; cached in {failure_file()}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _test_and_cache(kernel: Path, work: Path) -> str:
    if not DEVICE.exists():
        return "/dev/kvm does not exist"
    problem = _test_kvm(kernel, work)
    if problem:
        failure_file().parent.mkdir(parents=True, exist_ok=True)
        kept = {"at": int(time.time()), "tried": _cache_key(kernel), "problem": problem}
        write_private(failure_file(), json.dumps(kept).encode())
    return problem


def _cache_key(kernel: Path) -> list[str]:
    """Identify this boot of this machine, its QEMU, and the guest's kernel."""
    qemu = Path(shutil.which(host_paths.qemu()) or "").stat()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return [boot, f"{qemu.st_mtime_ns}", kernel.name, f"{kernel.stat().st_size}"]


def _test_kvm(kernel: Path, work: Path) -> str:
    log = work / "kvm-probe.log"
    machine = ["-M", "q35", "-m", "512", "-nodefaults", "-display", "none", "-no-reboot"]
    boot = ["-kernel", str(kernel), "-append", "console=ttyS0 panic=-1", "-serial", f"file:{log}"]
    try:
        run.call([host_paths.qemu(), *KVM.options, *machine, *boot], seconds=_PROBE_SECONDS)
    except Interrupted:
        raise
    except BakeryError as error:
        last = str(error).rstrip().splitlines()[-1]
        return f"the guest's kernel did not start on /dev/kvm ({last})"
    return (
        ""
        if log.exists() and _BOOTED in log.read_text("utf-8", "replace")
        else "the guest's kernel crashed"
    )
