"""The cache: bases, checkpoints and finished images by id, and folders to work in.

    bases/<id>.qcow2           a base as it was built or fetched
    checkpoints/<id>.qcow2     a thin layer over its base: the disk after the step with this id
    images/<kind>-<base>-<id12>.qcow2 and .json      a finished image and its manifest
    packages/<release>/        downloaded packages and lists
    work/<random>/             one bake or verification; locked while its process lives

Files appear by rename only, so whatever has a name is whole. A work folder nobody locks is what
a killed process left; the next one removes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.plan import Plan

Manifest = dict[str, Any]


def default_root() -> Path:
    """$WORKER_BAKERY_CACHE, else the user's cache directory."""
    given = os.environ.get("WORKER_BAKERY_CACHE")
    if given:
        return Path(given).resolve()
    import platformdirs

    return platformdirs.user_cache_path("worker-bakery")


@dataclass(frozen=True)
class Store:
    root: Path

    def base(self, base_id: str) -> Path:
        return self.root / "bases" / f"{base_id}.qcow2"

    def checkpoint(self, step_id: str) -> Path:
        return self.root / "checkpoints" / f"{step_id}.qcow2"

    def image(self, plan: Plan) -> Path:
        return self.root / "images" / f"{plan.image}.qcow2"

    def packages(self, release: str) -> Path:
        return self.root / "packages" / release

    def nearest_checkpoint(self, plan: Plan) -> tuple[int, Path]:
        """How many steps the latest kept checkpoint of this plan saves, and its disk (or the base's)."""
        for done in reversed(range(1, len(plan.steps))):
            path = self.checkpoint(plan.id_after(done))
            if path.exists():
                return done, path
        return 0, self.base(plan.base_id)

    def forget_base(self, base_id: str) -> None:
        """Remove a base; its checkpoints are layers over it and go first."""
        for path in (self.root / "checkpoints").glob("*.json"):
            if json.loads(path.read_text())["base_id"] == base_id:
                path.with_suffix(".qcow2").unlink(missing_ok=True)
                path.unlink()
        self.base(base_id).unlink(missing_ok=True)
        manifest_path(self.base(base_id)).unlink(missing_ok=True)


def manifest_path(disk: Path) -> Path:
    return disk.with_suffix(".json")


def read_manifest(disk: Path) -> Manifest | None:
    """None when there is no such disk; a disk without a manifest was never committed."""
    try:
        found: Manifest = json.loads(manifest_path(disk).read_text())
    except FileNotFoundError:
        return None
    return found if disk.exists() else None


def commit(disk: Path, at: Path, manifest: Manifest) -> None:
    """Give a finished file its name; the manifest comes first, so a named disk always has one."""
    at.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(at, manifest)
    disk.rename(at)


def write_manifest(disk: Path, manifest: Manifest) -> None:
    target = manifest_path(disk)
    with tempfile.NamedTemporaryFile("w", dir=disk.parent, prefix=".manifest-", delete=False) as out:
        json.dump(manifest, out, indent=1)
    Path(out.name).rename(target)


@contextmanager
def work_folder(store: Store) -> Iterator[Path]:
    """A private folder on the cache's file system, gone when the block ends."""
    parent = store.root / "work"
    parent.mkdir(parents=True, exist_ok=True)
    with alone(parent):  # a folder made but not yet locked would look left behind
        _sweep(parent)
        folder = Path(tempfile.mkdtemp(dir=parent))
        lock = _locked(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; whoever else wants it waits."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _sweep(parent: Path) -> None:
    for left in parent.iterdir():
        lock = _locked(left)
        if lock is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)


def _locked(folder: Path) -> int | None:
    """A file descriptor that holds the folder's lock, or None when somebody else does."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
