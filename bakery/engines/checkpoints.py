"""Find and write checkpoints in the store, for both engines.

A checkpoint is the disk after a prefix of a plan's steps. It is a complete, uncompressed disk: writing an
overlay takes three times as long, because the whole disk is compared with its base, and so does reading it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bakery.runtime import qemu_img
from bakery.store.locks import shared_lock
from bakery.store.store import Store, commit, is_intact, read_manifest, record_use, rename_damaged
from provisioner import plan as plans
from provisioner.events import Monitor, note, phase
from provisioner.plan import Plan


@contextmanager
def nearest(plan: Plan, store: Store, monitor: Monitor) -> Iterator[tuple[int, Path]]:
    """The latest intact checkpoint: the number of steps it contains, and its disk; else 0 and the base.

    The disk is protected from removal while the block runs. Damaged checkpoints are set aside.
    """
    for _, path in store.checkpoints_of(plan):
        if path.exists() and not is_intact(path):
            rename_damaged(path, "checkpoint", monitor)
    while True:
        done, disk = store.latest_checkpoint(plan)
        with shared_lock(disk) as there:  # false if another process has removed it since
            if there or not done:
                if done:
                    note(monitor, f"Resuming from the checkpoint after {plan.steps[done - 1].role}.")
                record_use(disk)
                yield done, disk
                return


def source_date(checkpoint: Path) -> int:
    """The date of the base of a checkpoint; 0 if its manifest does not have it."""
    return int((read_manifest(checkpoint) or {}).get("source_date", 0))


def keep(
    disk: Path,
    plan: Plan,
    done: int,
    store: Store,
    work: Path,
    monitor: Monitor,
    form: qemu_img.Form = "raw",
    source_date: int = 0,
) -> None:
    """Commit `disk`, which no process writes to, as the checkpoint after `done` steps of the plan.

    `source_date` is the date of its base, for the bakes that resume from it.
    """
    kept = work / "checkpoint.qcow2"
    with phase(monitor, f"write a checkpoint after {plan.steps[done - 1].role}"):
        qemu_img.to_qcow2(disk, kept, form)
        manifest = {
            "base_id": plan.base_id,
            "size": kept.stat().st_size,
            "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "steps": done,  # of the plan
            "source_date": source_date,
            "plan": plans.to_json(plan),
        }
        commit(kept, store.checkpoint(plan.id_after(done)), manifest)
    monitor.emit({"event": "stored", "id": plan.id_after(done)})
