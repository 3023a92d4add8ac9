"""The quick engine: a copy of the base, mounted and changed in place, no machine booted. Needs root."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

from bakery import mirror, qemu, rooms
from bakery.recipe import OPTIONAL
from bakery.store import Store, alone, commit
from provisioner import plan as plans
from provisioner.monitor import Monitor, note, phase
from provisioner.plan import Plan

TOOLS = ("qemu-img", "mount", "unshare", "setpriv", "chroot", "sfdisk", "fstrim")


def bake(
    plan: Plan,
    store: Store,
    release: str,
    apt_sources: str,
    work: Path,
    monitor: Monitor,
    more_sources: str = "",
) -> Path:
    """The finished, sealed qcow2 in `work`. The base must be in the store.

    Optional roles alone see `more_sources`: no checkpoint of another image is made of them.
    """
    done, start = store.nearest_checkpoint(plan)
    if done:
        note(monitor, f"Starting from the checkpoint after {plan.steps[done - 1].role}.")
    disk = work / "disk.raw"
    with phase(monitor, "copy the base" if not done else "copy the checkpoint"):
        qemu.to_raw(start, disk)
    (work / "apt.preferences").write_text(mirror.preferences(release))
    packages = store.packages(release)
    packages.mkdir(parents=True, exist_ok=True)
    with alone(packages):  # apt allows one writer; another bake of this release waits here
        for first, last in pairwise([done, *(end for end in plan.role_ends() if end > done)]):
            more = more_sources if plan.steps[first].role in OPTIONAL else ""
            (work / "apt.sources").write_text(f"{apt_sources}\n{more}")
            _apply(plan, first, last, work, packages, monitor)
            if last < len(plan.steps):
                _keep_checkpoint(plan, last, store, disk, work, monitor)
    with phase(monitor, "compress the image"):
        qemu.to_zstd(disk, work / "image.qcow2")
    disk.unlink()
    return work / "image.qcow2"


def _apply(plan: Plan, first: int, last: int, work: Path, packages: Path, monitor: Monitor) -> None:
    command = [
        # -P: nothing of the folder the user happens to be in is imported, least of all as root.
        *(sys.executable, "-P", "-m", "provisioner", "apply"),
        *("--disk", str(work / "disk.raw")),
        *("--from", str(first), "--to", str(last)),
        *("--sources", str(work / "apt.sources"), "--preferences", str(work / "apt.preferences")),
        *("--package-cache", str(packages)),
    ]
    rooms.relay(command, json.dumps(plans.to_json(plan)).encode(), monitor)


def _keep_checkpoint(plan: Plan, done: int, store: Store, disk: Path, work: Path, monitor: Monitor) -> None:
    layer = work / "checkpoint.qcow2"
    with phase(monitor, f"keep a checkpoint after {plan.steps[done - 1].role}"):
        qemu.difference(disk, store.base(plan.base_id), layer)
        commit(layer, store.checkpoint(plan.id_after(done)), {"base_id": plan.base_id})
