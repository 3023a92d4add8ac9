"""Find an image and what is known of it: from its manifest, otherwise from its package database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.description import files, packages
from bakery.freshness import images
from bakery.runtime import privileges
from bakery.store.store import Store, image_manifest
from provisioner.errors import BadInput
from provisioner.events import Monitor


@dataclass(frozen=True)
class Found:
    """An image, and its manifest. `has_manifest` is false if the packages were read from the image."""

    path: Path
    manifest: Mapping[str, Any]
    has_manifest: bool


def image(name: str, store: Store, monitor: Monitor) -> Found:
    """An image by its path or its name in the store.

    Raises BadInput, MissingHere; WrongChecksum: the image differs from its manifest.
    """
    path = images.path_of(name, store)
    known = image_manifest(path)
    if known is not None:
        if path.is_file():
            files.check(path, known)
        if not packages.gap(known) or _is_all(path, known):
            return Found(path, known, True)
    rows = packages.of_rows(images.rows_of(path, store, monitor))
    if rows is None:
        raise BadInput(f"{path} has no package database of dpkg or rpm.", "Give the path of an image.")
    return Found(path, {**_about(path), **(known or {}), "installed": packages.to_json(rows)}, bool(known))


def _is_all(path: Path, known: Mapping[str, Any]) -> bool:
    """Whether no more can be read from the image than its manifest has: a container, or not mountable."""
    if path.is_dir() or path.suffix == ".tar":
        return True
    return "installed" in known and bool(privileges.mount_obstacle())


def _about(path: Path) -> dict[str, Any]:
    """What the file itself says; of a root directory nothing."""
    if path.is_dir():
        return {}
    return {"size": path.stat().st_size, "sha256": files.check(path, {})}
