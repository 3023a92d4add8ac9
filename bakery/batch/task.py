"""What one job does, in a process of its own: bake one image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.bake.options import Options
from bakery.store.store import Store
from provisioner.events import Monitor


@dataclass(frozen=True)
class Task:
    """The options of the image, and the root of the store."""

    options: Options
    root: Path


def perform(task: Task, monitor: Monitor) -> dict[str, Any]:
    """Return the result as data: path, from_store and manifest.

    Raises every class of provisioner.errors except Different.
    """
    from bakery.bake import lookup

    baked = lookup.bake(task.options, Store(task.root), monitor)
    manifest = {key: value for key, value in baked.manifest.items() if key != "plan"}
    return {"path": str(baked.path), "from_store": baked.from_store, "manifest": manifest}
