"""Disks of plans' prefixes in the store: the nearest is found, another one kept, whichever engine asks.

Each is a whole disk without compression: to write a thin layer takes three times as long, as all of the
disk is compared with its base for that, and so does the way back.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bakery.runtime import qemu_img
from bakery.store.locks import shared_lock
from bakery.store.store import Store, commit, is_intact, record_use, rename_damaged
from provisioner import plan as plans
from provisioner.events import Monitor, note, phase
from provisioner.plan import Plan


@contextmanager
def nearest(plan: Plan, store: Store, monitor: Monitor) -> Iterator[tuple[int, Path]]:
    """How many steps the latest checkpoint that is whole saves, and its disk; else 0 and the base's.

    Nobody removes it while the block runs.
    """
    for _, path in store.checkpoints_of(plan):
        if path.exists() and not is_intact(path):
            rename_damaged(path, "checkpoint", monitor)
    while True:
        done, disk = store.latest_checkpoint(plan)
        with shared_lock(disk) as there:  # not there: it was removed in between
            if there or not done:
                if done:
                    note(monitor, f"Starting from the checkpoint after {plan.steps[done - 1].role}.")
                record_use(disk)
                yield done, disk
                return


def keep(
    disk: Path,
    plan: Plan,
    done: int,
    store: Store,
    work: Path,
    monitor: Monitor,
    form: qemu_img.Form = "raw",
) -> None:
    """A disk that nobody writes to and that has so many of the plan's steps behind it."""
    kept = work / "checkpoint.qcow2"
    with phase(monitor, f"keep a checkpoint after {plan.steps[done - 1].role}"):
        qemu_img.to_qcow2(disk, kept, form)
        manifest = {
            "base_id": plan.base_id,
            "size": kept.stat().st_size,
            "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "steps": done,  # of the plan
            "plan": plans.to_json(plan),
        }
        commit(kept, store.checkpoint(plan.id_after(done)), manifest)
