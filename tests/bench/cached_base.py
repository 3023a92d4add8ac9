"""The default base for benchmarks that bake: made first if the user's cache has none."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from bakery.image import bases
from bakery.runtime.mirror import find as find_mirror
from bakery.sources import base_image
from bakery.sources.base_image import SourceOptions
from bakery.store.store import Store, default_root, manifest_path, work_folder
from provisioner.events import Silent

BASE = bases.find(bases.DEFAULT)


def provide() -> Path:
    """The disk in the user's own cache. An image that is there says nothing of its base.

    Raises what base_image.provide raises.
    """
    store, sources = Store(default_root()), SourceOptions(find_mirror())
    if not store.base(BASE.id).exists():
        print(f"making the base {BASE.name}, which takes minutes", file=sys.stderr, flush=True)
    with (
        work_folder(store) as work,
        base_image.provide(BASE, store, sources, work, Silent(), rebuild=False),
    ):
        return store.base(BASE.id)


def store_with_base(root: Path) -> Store:
    """A new cache with a copy of the base of `provide`, which must have been called."""
    kept, own = Store(default_root()).base(BASE.id), Store(root).base(BASE.id)
    own.parent.mkdir(parents=True)
    for path in (kept, manifest_path(kept)):
        shutil.copyfile(path, own.parent / path.name)
    return Store(root)
