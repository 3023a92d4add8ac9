"""What one job does, in a process of its own: make the image, or a checkpoint that several images share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.bake.options import Options
from bakery.store.store import Store
from provisioner.events import Monitor


@dataclass(frozen=True)
class Task:
    """`steps` is None for the image, else as bakery.batch.schedule.Job.steps; `root` that of the store."""

    options: Options
    steps: int | None
    root: Path


def perform(task: Task, monitor: Monitor) -> dict[str, Any]:
    """Return the result as data: path, from_store and manifest of an image; nothing for a checkpoint.

    Raises every class of provisioner.errors except Different.
    """
    store = Store(task.root)
    if task.steps is None:
        from bakery.bake import lookup

        baked = lookup.bake(task.options, store, monitor)
        manifest = {key: value for key, value in baked.manifest.items() if key != "plan"}
        return {"path": str(baked.path), "from_store": baked.from_store, "manifest": manifest}
    from bakery.bake import build

    build.make_checkpoint(task.options, task.steps, store, monitor)
    return {}
