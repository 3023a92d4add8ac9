"""The cache: bases, checkpoints and finished images by id, and folders for temporary work.

    bases/<id>.qcow2           a base, built or downloaded
    checkpoints/<id>.qcow2     the disk after the step with this id
    images/<kind>-<base>-<id12>.qcow2, .json         a finished image and its manifest; containers: .tar
    images/<name>.cdx.json …   its description, if one was written beside it (bakery/description/files.py)
    images/<name>.checked, checkpoints/<id>.checked  the last answer of its package repositories
    packages/indexes/<digest>  package lists of repositories, for --refresh and outdated
    downloads/<id>.part        an unfinished download of a vendor's image
    packages/<release>/        downloaded packages and package lists
    work/<random>/             one bake or verification; locked while its process runs
    work/<random>/tmp/         TMPDIR of the programs that this process starts
    locks/<name>               held by the process that creates the image or base of that name
    logs/<time>-<name>/        the newest log folders of bakes and verifications: bakery/store/logs.py

Every file gets its name by a rename, so a killed process leaves no incomplete file under a final name.
A crash of the machine can; therefore the manifest contains the size of its disk, and a disk of another
size is renamed to NAME.damaged. The next process removes work folders that no process locks.
The modification time of a manifest is the time when its disk was last used.
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

from bakery.store.locks import exclusive_lock, try_exclusive_lock
from provisioner.errors import MissingHere
from provisioner.events import Monitor, warn
from provisioner.plan import Plan

Manifest = dict[str, Any]
DISKS = (".qcow2", ".tar")  # files with a manifest beside them; their stems are unique
# The files of an image's description: NAME.manifest.json and so on beside NAME.qcow2.
DESCRIPTION = (
    ".manifest.json",
    ".cdx.json",
    ".spdx.json",
    ".provenance.json",
    ".verification.json",
    ".intoto.jsonl",
    ".SHA256SUMS",
    ".SHA256SUMS.minisig",
)


def default_root() -> Path:
    """Return $WORKER_BAKERY_CACHE, else the user's cache directory."""
    configured = os.environ.get("WORKER_BAKERY_CACHE")
    if configured:
        return Path(configured).resolve()
    import platformdirs

    return platformdirs.user_cache_path("worker-bakery")


@dataclass(frozen=True)
class Store:
    """Paths in the cache at `root`. Checkpoints with the ids in `ignored` are not found."""

    root: Path
    ignored: frozenset[str] = frozenset()

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
        """Yield the number of completed steps and the path of each possible checkpoint, latest first."""
        for done in reversed(range(1, len(plan.steps))):
            if plan.id_after(done) not in self.ignored:
                yield done, self.checkpoint(plan.id_after(done))

    def latest_checkpoint(self, plan: Plan) -> tuple[int, Path]:
        """Return how many steps the latest checkpoint of this plan saves, and its disk.

        Without a checkpoint: 0, and the disk of the base.
        """
        for done, path in self.checkpoints_of(plan):
            if is_intact(path):
                return done, path
        return 0, self.base(plan.base_id)

    def remove_base(self, base_id: str) -> None:
        """Remove a base, and first the checkpoints over it."""
        for path in (self.root / "checkpoints").glob("*.json"):
            if (_json(path) or {}).get("base_id") == base_id:
                path.with_suffix(".qcow2").unlink(missing_ok=True)
                path.unlink()
                path.with_suffix(".checked").unlink(missing_ok=True)
        self.base(base_id).unlink(missing_ok=True)
        manifest_path(self.base(base_id)).unlink(missing_ok=True)


def manifest_path(disk: Path) -> Path:
    """Return the path of a disk's manifest."""
    return disk.with_suffix(".json")


def checked_path(disk: Path) -> Path:
    """Return the path of the last answer of a disk's repositories (bakery/freshness/checked.py)."""
    return disk.with_suffix(".checked")


def read_manifest(disk: Path) -> Manifest | None:
    """Return the manifest of an existing disk, else None. Raises MissingHere without permission."""
    found = _json(manifest_path(disk))
    return found if found is not None and disk.exists() else None


def description_path(image: Path, suffix: str) -> Path:
    """Return the path of a file of the image's description; the image may be a folder (an OCI layout)."""
    name = image.name.removesuffix(image.suffix) if image.suffix in DISKS else image.name
    return image.with_name(name + suffix)


def image_manifest(image: Path) -> Manifest | None:
    """Return the manifest of an image: of the store, or that of its description beside a copy.

    Raises MissingHere without permission.
    """
    found = read_manifest(image) if image.suffix in DISKS else None
    if found is not None and "plan" in found and "sha256" in found:
        return found
    return _json(description_path(image, DESCRIPTION[0]))


def _json(path: Path) -> Manifest | None:
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    except PermissionError:
        raise MissingHere(
            f"Cannot read {path}: permission denied.", "Run the same command as root."
        ) from None
    return found if isinstance(found, dict) else None


def is_intact(disk: Path) -> bool:
    """Whether disk and manifest exist and agree about the size; does not read the disk."""
    manifest = read_manifest(disk)
    if manifest is None:
        return False
    size = disk.stat().st_size
    return bool(manifest.get("size", size) == size)


def rename_damaged(disk: Path, what: str, monitor: Monitor) -> None:
    """Rename a disk that differs from its manifest to NAME.damaged; the caller creates it again.

    `what` is the kind of the disk, for the warning.
    """
    damaged = disk.with_suffix(".damaged")
    disk.rename(damaged)
    manifest_path(disk).unlink(missing_ok=True)
    remove_description(disk)
    warn(monitor, f"The cached {what} is damaged; it was renamed to {damaged} and is created again.")


def remove_description(image: Path) -> None:
    """Remove the files of an image's description, with its signature."""
    for suffix in DESCRIPTION:
        description_path(image, suffix).unlink(missing_ok=True)


def record_use(disk: Path) -> None:
    """Record that the disk was used now. Does nothing without write permission."""
    with suppress(PermissionError, FileNotFoundError):
        os.utime(manifest_path(disk))


def commit(disk: Path, at: Path, manifest: Manifest) -> None:
    """Move a finished file to its final name, after its manifest: a named disk always has one."""
    at.parent.mkdir(parents=True, exist_ok=True)
    remove_description(at)  # of an image that it replaces
    write_manifest(at, manifest)
    disk.rename(at)


def write_manifest(disk: Path, manifest: Manifest) -> None:
    """Write the manifest of a disk atomically."""
    import tempfile

    target = manifest_path(disk)
    with tempfile.NamedTemporaryFile("w", dir=disk.parent, prefix=".manifest-", delete=False) as out:
        json.dump(manifest, out, indent=1)
        os.fchmod(out.fileno(), 0o644)  # the mode of its disk; it contains no secret
    Path(out.name).rename(target)


@contextmanager
def work_folder(store: Store) -> Iterator[Path]:
    """Yield a private, locked folder on the cache's file system; it is removed afterwards.

    Processes started in the block use its `tmp` for temporary files.
    """
    import shutil
    import tempfile

    from provisioner.process.run import temporary_files_in

    parent = store.root / "work"
    parent.mkdir(parents=True, exist_ok=True)
    with exclusive_lock(parent):  # a folder that is not locked yet would look abandoned
        _remove_abandoned(parent)
        folder = Path(tempfile.mkdtemp(dir=parent))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for processes that only test the lock
    try:
        (folder / "tmp").mkdir()
        with temporary_files_in(folder / "tmp"):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_abandoned(parent: Path) -> None:
    import shutil

    for left in parent.iterdir():
        lock = try_exclusive_lock(left)
        if lock is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
