"""The cache: bases, checkpoints and finished images by id, and folders to work in.

    bases/<id>.qcow2           a base as it was built or fetched
    checkpoints/<id>.qcow2     the disk after the step with this id
    images/<kind>-<base>-<id12>.qcow2 and .json      a finished image and its manifest; .tar: a container's
    downloads/<id>.part        what has arrived of a vendor's image, which becomes a base
    packages/<release>/        downloaded packages and lists
    work/<random>/             one bake or verification; locked while its process lives
    work/<random>/tmp/         temporary files of the programs that it starts
    locks/<name>               held by whoever makes the image or base of that name
    logs/<time>-<name>/        what a bake or a verification told, the newest few: bakery/store/logs.py

Files appear by rename only, so a kill leaves nothing half under a name. A crash of the machine or
a full disk elsewhere may: a manifest says how large its disk is, and what differs is set aside as
NAME.damaged. A work folder nobody locks is what a killed process left; the next one removes it.
A manifest's modification time is the last use of its disk.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.store.locks import alone, claim
from provisioner.errors import MissingHere
from provisioner.events import Monitor, warn
from provisioner.plan import Plan

Manifest = dict[str, Any]
DISKS = (".qcow2", ".tar")  # what has a manifest beside it; no two of one name


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

    def image(self, plan: Plan, suffix: str = ".qcow2") -> Path:
        return self.root / "images" / f"{plan.image}{suffix}"

    def download(self, base_id: str) -> Path:
        return self.root / "downloads" / f"{base_id}.part"

    def packages(self, release: str) -> Path:
        return self.root / "packages" / release

    def lock(self, name: str) -> Path:
        return self.root / "locks" / name

    def checkpoints_of(self, plan: Plan) -> Iterator[tuple[int, Path]]:
        """The latest first: how many steps it saves, and where it would lie."""
        for done in reversed(range(1, len(plan.steps))):
            yield done, self.checkpoint(plan.id_after(done))

    def nearest_checkpoint(self, plan: Plan) -> tuple[int, Path]:
        """How many steps the latest kept checkpoint of this plan saves, and its disk (or the base's)."""
        for done, path in self.checkpoints_of(plan):
            if is_whole(path):
                return done, path
        return 0, self.base(plan.base_id)

    def forget_base(self, base_id: str) -> None:
        """Remove a base; its checkpoints hold what it was and go first."""
        for path in (self.root / "checkpoints").glob("*.json"):
            if (_json(path) or {}).get("base_id") == base_id:
                path.with_suffix(".qcow2").unlink(missing_ok=True)
                path.unlink()
        self.base(base_id).unlink(missing_ok=True)
        manifest_path(self.base(base_id)).unlink(missing_ok=True)


def manifest_path(disk: Path) -> Path:
    return disk.with_suffix(".json")


def read_manifest(disk: Path) -> Manifest | None:
    """None when there is no such disk; a disk without a manifest was never committed."""
    found = _json(manifest_path(disk))
    return found if found is not None and disk.exists() else None


def _json(path: Path) -> Manifest | None:
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    except PermissionError:
        raise MissingHere(
            f"{path} is not to be read by this user.", "Run the same command as root."
        ) from None
    return found if isinstance(found, dict) else None


def is_whole(disk: Path) -> bool:
    """Whether disk and manifest are there and agree about the size; that costs nothing."""
    manifest = read_manifest(disk)
    if manifest is None:
        return False
    size = disk.stat().st_size
    return bool(manifest.get("size", size) == size)


def set_aside(disk: Path, what: str, monitor: Monitor) -> None:
    """Take its name from a disk that is not what its manifest says; it is made anew."""
    aside = disk.with_suffix(".damaged")
    disk.rename(aside)
    manifest_path(disk).unlink(missing_ok=True)
    warn(monitor, f"The kept {what} is damaged; it was set aside as {aside} and is made anew.")


def used(disk: Path) -> None:
    """Remember that this was the last use. Who may not write here may still use what is here."""
    with suppress(PermissionError, FileNotFoundError):
        os.utime(manifest_path(disk))


def commit(disk: Path, at: Path, manifest: Manifest) -> None:
    """Give a finished file its name; the manifest comes first, so a named disk always has one."""
    at.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(at, manifest)
    disk.rename(at)


def write_manifest(disk: Path, manifest: Manifest) -> None:
    import tempfile

    target = manifest_path(disk)
    with tempfile.NamedTemporaryFile("w", dir=disk.parent, prefix=".manifest-", delete=False) as out:
        json.dump(manifest, out, indent=1)
        os.fchmod(out.fileno(), 0o644)  # as its disk; it holds no secret
    Path(out.name).rename(target)


@contextmanager
def work_folder(store: Store) -> Iterator[Path]:
    """A private folder on the cache's file system, gone when the block ends.

    It has a folder for the temporary files of all that is started meanwhile.
    """
    import shutil
    import tempfile

    from provisioner.process.run import temporary_files_in

    parent = store.root / "work"
    parent.mkdir(parents=True, exist_ok=True)
    with alone(parent):  # a folder made but not yet locked would look left behind
        _sweep(parent)
        folder = Path(tempfile.mkdtemp(dir=parent))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for who only looks whether somebody holds it
    try:
        (folder / "tmp").mkdir()
        with temporary_files_in(folder / "tmp"):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _sweep(parent: Path) -> None:
    import shutil

    for left in parent.iterdir():
        lock = claim(left)
        if lock is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
