"""List the entries of the cache, select those to remove, and remove them.

`entries` reads the cache, `select` decides (pure), `remove` deletes.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bakery.runtime import digest
from bakery.store.locks import exclusive_lock, try_exclusive_lock
from bakery.store.store import (
    DESCRIPTION,
    DISKS,
    Store,
    checked_path,
    is_intact,
    manifest_path,
    read_manifest,
    remove_description,
)
from provisioner.errors import BadInput, MissingHere
from provisioner.events import Monitor, note

LIMIT = "WORKER_BAKERY_CACHE_LIMIT"
DEFAULT_LIMIT = 50.0  # GiB: some fifty checkpoints
GIB = 2**30
HOUR, DAY = 3600.0, 86400.0

Kind = Literal["base", "checkpoint", "image", "download", "packages", "work", "damaged"]
_KIND_IN: dict[str, Kind] = {"bases": "base", "checkpoints": "checkpoint", "images": "image"}
# What a bake removes automatically: all of it can be created or downloaded again.
EXPENDABLE: frozenset[Kind] = frozenset({"checkpoint", "download", "packages", "damaged"})


@dataclass(frozen=True)
class Entry:
    """A file or folder of the cache: `size` in bytes on disk, `made` and `used` in seconds since 1970.

    `of` is the id of the base, for bases and for checkpoints over them. No bake can use a `useless` entry;
    a process holds a lock on an entry `in_use`.
    """

    kind: Kind
    name: str
    path: Path
    size: int
    made: float
    used: float
    of: str = ""
    title: str = ""
    useless: bool = False
    in_use: bool = False


@dataclass(frozen=True)
class Policy:
    """What to remove besides useless entries.

    Entries unused for `older_than` seconds, and the least recently used ones until the cache has at most
    `max_size` bytes. `everything` also removes entries without a size, such as the link to a user's base.
    """

    older_than: float | None = None
    max_size: float | None = None
    kinds: frozenset[Kind] | None = None  # None is every kind
    everything: bool = False


# --- selecting ---------------------------------------------------------------------------------


def select(candidates: Iterable[Entry], policy: Policy, now: float) -> list[Entry]:
    """Return the entries to remove, in order: least recently used first, a base after its checkpoints."""
    left = list(candidates)
    removed = [entry for entry in left if entry.useless and not entry.in_use]
    for entry in removed:
        left.remove(entry)
    while least := _next(left, policy, now):
        left.remove(least)
        removed.append(least)
    return removed


def _next(left: list[Entry], policy: Policy, now: float) -> Entry | None:
    """Return the least recently used removable entry: not in use, and not a base with checkpoints."""
    needed = {entry.of for entry in left if entry.kind == "checkpoint"}
    too_much = policy.max_size is not None and sum(entry.size for entry in left) > policy.max_size
    until = now if policy.older_than is None else now - policy.older_than
    free = [
        entry
        for entry in left
        if not entry.in_use
        and (policy.kinds is None or entry.kind in policy.kinds)
        and not (entry.kind == "base" and entry.of in needed)
        and (policy.everything or too_much or (policy.older_than is not None and entry.used < until))
    ]
    return min(free, key=lambda entry: (entry.used, entry.name), default=None)


# --- listing -----------------------------------------------------------------------------


def entries(store: Store) -> list[Entry]:
    """Return all entries of the cache."""
    root = store.root
    disks = [*_disks(root, "bases"), *_disks(root, "checkpoints"), *_disks(root, "images")]
    bases = {path.stem for path in (root / "bases").glob("*.qcow2")}
    found = [_disk(path, bases) for path in disks]
    found += [_download(path) for path in sorted((root / "downloads").glob("*")) if path.suffix != ".json"]
    found += [_folder("packages", path) for path in _inside(root / "packages") if any(path.iterdir())]
    found += [_folder("work", path) for path in _inside(root / "work")]
    return found


def _disks(root: Path, folder: str) -> Iterator[Path]:
    """Yield disks, damaged disks, and manifests without a disk."""
    for path in sorted((root / folder).glob("*")):
        if path.suffix in (*DISKS, ".damaged") or _is_stray(path):
            yield path


def _is_stray(path: Path) -> bool:
    """Whether a manifest or description has had no disk for an hour; normally it follows at once."""
    ending = next((one for one in DESCRIPTION if path.name.endswith(one)), path.suffix)
    stem = path.name.removesuffix(ending)
    there = any(path.with_name(stem + suffix).exists() for suffix in DISKS)
    return not there and time.time() - path.stat().st_mtime > HOUR


def _inside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir())


def _disk(path: Path, bases: Collection[str]) -> Entry:
    manifest = read_manifest(path) or {}
    base = manifest.get("base_id", "")
    status = path.lstat()
    with suppress(FileNotFoundError):
        used = manifest_path(path).stat().st_mtime if manifest else status.st_mtime
    kind = _KIND_IN[path.parent.name]
    if path.suffix not in DISKS or not is_intact(path):
        kind = "damaged"
    orphan = kind == "checkpoint" and base not in bases
    return Entry(
        kind,
        path.name if kind == "damaged" else path.stem,
        path,
        status.st_blocks * 512,
        status.st_mtime,
        used,
        path.stem if kind == "base" else base,
        _title(kind, manifest),
        useless=kind == "damaged" or orphan,
        in_use=_is_locked(path),
    )


def _download(path: Path) -> Entry:
    """An unfinished download of a vendor's image, or a complete one with the wrong digest."""
    status, wrong = path.stat(), path.suffix == ".damaged"
    size, made = status.st_blocks * 512, status.st_mtime
    return Entry(
        "damaged" if wrong else "download",
        path.name if wrong else path.stem,
        path,
        size,
        made,
        made,
        title="wrong digest" if wrong else "unfinished download",
        useless=wrong,
        in_use=_is_locked(path),
    )


def _title(kind: Kind, manifest: dict[str, object]) -> str:
    plan, steps = manifest.get("plan"), manifest.get("steps")
    if kind == "checkpoint" and isinstance(plan, dict) and isinstance(steps, int):
        return f"after {plan['steps'][steps - 1]['role']} of {plan['kind']} on {plan['base']}"
    return str(manifest.get("base", "")) if kind == "base" else ""


def _folder(kind: Kind, path: Path) -> Entry:
    locked = _is_locked(path)
    status = path.stat()
    useless = kind == "work" and not locked
    return Entry(
        kind,
        path.name,
        path,
        _size(path),
        status.st_mtime,
        status.st_mtime,
        title="left by a killed process" if useless else "",
        useless=useless,
        in_use=locked,
    )


def _size(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # removed meanwhile, or inaccessible
                status = (Path(where) / name).lstat()
                # A bake works on hard links to the downloaded packages: each name counts for its share.
                total += status.st_blocks * 512 // status.st_nlink
    return total


def _is_locked(path: Path) -> bool:
    try:
        lock = try_exclusive_lock(path)
    except PermissionError:
        return False  # another user's, which this process cannot remove either
    if lock is None:
        return path.exists()
    os.close(lock)
    return False


def is_damaged(entry: Entry) -> bool:
    """Whether the entry differs from the digest in its manifest; reads the whole file.

    Checkpoints have no digest and are never damaged by this test.
    """
    expected = (read_manifest(entry.path) or {}).get("sha256")
    return entry.kind == "damaged" or (expected is not None and digest.of(entry.path) != expected)


# --- removing ----------------------------------------------------------------------------------


def remove(entry: Entry) -> bool:
    """Remove an entry; return False if a process uses it, or it no longer exists.

    Raises MissingHere without permission to remove it.
    """
    try:
        if entry.kind == "work":  # the owner creates it before locking it, under the same lock
            with exclusive_lock(entry.path.parent):
                return _remove_unlocked(entry.path)
        return _remove_unlocked(entry.path)
    except PermissionError:
        raise MissingHere(
            f"Cannot remove {entry.path}: it belongs to another user.", "Run the same command as root."
        ) from None


def _remove_unlocked(path: Path) -> bool:
    lock = try_exclusive_lock(path)
    if lock is None:
        return _remove_dangling(path)
    try:
        if path.is_dir():
            _empty(path)
        else:
            path.unlink()  # before its manifest: a disk without one counts as damaged
            if path.suffix in (*DISKS, ".part"):
                manifest_path(path).unlink(missing_ok=True)
                checked_path(path).unlink(missing_ok=True)
                remove_description(path)
        if path.parent.name == "work":
            path.rmdir()
    finally:
        os.close(lock)
    return True


def _remove_dangling(path: Path) -> bool:
    """Remove the link to a user's base whose file no longer exists."""
    if not path.is_symlink() or path.exists():
        return False
    path.unlink()
    manifest_path(path).unlink(missing_ok=True)
    return True


def _empty(folder: Path) -> None:
    """Remove the content of a folder, but not the folder: a bake may be waiting for its lock."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


# --- the limit -----------------------------------------------------------------


def limit() -> float:
    """Return the limit of the cache in bytes. Raises BadInput when the variable is not a size."""
    value = os.environ.get(LIMIT, "")
    try:
        size = float(value or DEFAULT_LIMIT)
    except ValueError:
        size = -1.0
    if not 0 <= size < float("inf"):
        raise BadInput(
            f"{LIMIT} is {value!r}, which is not a size in GiB.", "Use a number such as 20 or 0.5."
        )
    return size * GIB


def enforce_limit(limit: float, store: Store, monitor: Monitor) -> None:
    """Remove checkpoints and package caches, never images or bases, until the cache is below the limit."""
    cached = entries(store)
    if sum(entry.size for entry in cached) <= limit:
        return
    expendable = [entry for entry in cached if entry.kind != "work"]
    policy = Policy(max_size=limit, kinds=EXPENDABLE)
    removed = [entry for entry in select(expendable, policy, time.time()) if remove(entry)]
    freed = sum(entry.size for entry in removed)
    over = sum(entry.size for entry in cached) - freed > limit
    note(monitor, _limit_message(limit, removed, freed) + (_STILL_EXCEEDED if over else ""))


_STILL_EXCEEDED = " Images and bases still exceed it; remove some with worker-bakery cache prune."


def _limit_message(limit: float, removed: list[Entry], freed: int) -> str:
    done = f"removed {len(removed)} checkpoints and package caches ({freed / GIB:.1f} GiB)"
    return f"The cache exceeded its limit of {limit / GIB:g} GiB ({LIMIT}): {done}."
