"""What the store keeps, and what of it goes: `entries` looks, `chosen` decides (pure), `remove` does."""

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
from bakery.store.locks import alone, claim
from bakery.store.store import DISKS, Store, is_whole, manifest_path, read_manifest
from provisioner.errors import BadInput, MissingHere
from provisioner.events import Monitor, note

LIMIT = "WORKER_BAKERY_CACHE_LIMIT"
DEFAULT_LIMIT = 50.0  # GiB: some fifty checkpoints
GIB = 2**30
HOUR, DAY = 3600.0, 86400.0

Kind = Literal["base", "checkpoint", "image", "download", "packages", "work", "damaged"]
_KIND_IN: dict[str, Kind] = {"bases": "base", "checkpoints": "checkpoint", "images": "image"}
# What a bake removes unasked: everything of it can be had again by itself.
EXPENDABLE: frozenset[Kind] = frozenset({"checkpoint", "download", "packages", "damaged"})


@dataclass(frozen=True)
class Entry:
    """`size` in bytes on the disk, `made` and `used` in seconds since 1970.

    `of` is the base's id, for a base and for the checkpoints that began with it; `useless` is what no
    bake can use any more; `in_use` what a process holds.
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
    """What goes beside the useless: unused for `older_than` seconds; all that is over `max_size` bytes.

    `everything` also takes what has no size, as the link to a user's own base.
    """

    older_than: float | None = None
    max_size: float | None = None
    kinds: frozenset[Kind] | None = None  # None is every kind
    everything: bool = False


# --- what goes ---------------------------------------------------------------------------------


def chosen(kept: Iterable[Entry], policy: Policy, now: float) -> list[Entry]:
    """What to remove, in this order: the least recently used first, a base after its checkpoints."""
    left = list(kept)
    gone = [entry for entry in left if entry.useless and not entry.in_use]
    for entry in gone:
        left.remove(entry)
    while least := _next(left, policy, now):
        left.remove(least)
        gone.append(least)
    return gone


def _next(left: list[Entry], policy: Policy, now: float) -> Entry | None:
    """The least recently used that may go: not in use, and no base that checkpoints began with."""
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


# --- what there is -----------------------------------------------------------------------------


def entries(store: Store) -> list[Entry]:
    root = store.root
    disks = [*_disks(root, "bases"), *_disks(root, "checkpoints"), *_disks(root, "images")]
    bases = {path.stem for path in (root / "bases").glob("*.qcow2")}
    found = [_disk(path, bases) for path in disks]
    found += [_download(path) for path in sorted((root / "downloads").glob("*")) if path.suffix != ".json"]
    found += [_folder("packages", path) for path in _inside(root / "packages") if any(path.iterdir())]
    found += [_folder("work", path) for path in _inside(root / "work")]
    return found


def _disks(root: Path, folder: str) -> Iterator[Path]:
    """Disks, what was set aside of them, and manifests whose disk never came."""
    for path in sorted((root / folder).glob("*")):
        if path.suffix in (*DISKS, ".damaged") or _is_stray(path):
            yield path


def _is_stray(manifest: Path) -> bool:
    """A manifest appears just before its disk, so one without is waited for."""
    there = any(manifest.with_suffix(suffix).exists() for suffix in DISKS)
    return not there and time.time() - manifest.stat().st_mtime > HOUR


def _inside(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.is_dir())


def _disk(path: Path, bases: Collection[str]) -> Entry:
    manifest = read_manifest(path) or {}
    base = manifest.get("base_id", "")
    status = path.lstat()
    with suppress(FileNotFoundError):
        used = manifest_path(path).stat().st_mtime if manifest else status.st_mtime
    kind = _KIND_IN[path.parent.name]
    if path.suffix not in DISKS or not is_whole(path):
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
        in_use=_is_held(path),
    )


def _download(path: Path) -> Entry:
    """What has arrived of a vendor's image; `damaged` is what arrived whole and was the wrong one."""
    status, wrong = path.stat(), path.suffix == ".damaged"
    size, made = status.st_blocks * 512, status.st_mtime
    return Entry(
        "damaged" if wrong else "download",
        path.name if wrong else path.stem,
        path,
        size,
        made,
        made,
        title="of the wrong digest" if wrong else "a part of a base",
        useless=wrong,
        in_use=_is_held(path),
    )


def _title(kind: Kind, manifest: dict[str, object]) -> str:
    plan, steps = manifest.get("plan"), manifest.get("steps")
    if kind == "checkpoint" and isinstance(plan, dict) and isinstance(steps, int):
        return f"after {plan['steps'][steps - 1]['role']} of {plan['kind']} on {plan['base']}"
    return str(manifest.get("base", "")) if kind == "base" else ""


def _folder(kind: Kind, path: Path) -> Entry:
    held = _is_held(path)
    status = path.stat()
    useless = kind == "work" and not held
    return Entry(
        kind,
        path.name,
        path,
        _size(path),
        status.st_mtime,
        status.st_mtime,
        title="left by a process that was killed" if useless else "",
        useless=useless,
        in_use=held,
    )


def _size(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # gone meanwhile, or not ours to see
                total += (Path(where) / name).lstat().st_blocks * 512
    return total


def _is_held(path: Path) -> bool:
    try:
        lock = claim(path)
    except PermissionError:
        return False  # not ours to remove either
    if lock is None:
        return path.exists()
    os.close(lock)
    return False


def damage(entry: Entry) -> bool:
    """Whether a disk differs from the digest in its manifest, all of it read. Checkpoints have none."""
    wanted = (read_manifest(entry.path) or {}).get("sha256")
    return entry.kind == "damaged" or (wanted is not None and digest.of(entry.path) != wanted)


# --- removing ----------------------------------------------------------------------------------


def remove(entry: Entry) -> bool:
    """False when a process has begun to use it, or it is gone. Raises MissingHere without the right to."""
    try:
        if entry.kind == "work":  # as its owner does, who makes it before it is locked
            with alone(entry.path.parent):
                return _remove_unheld(entry.path)
        return _remove_unheld(entry.path)
    except PermissionError:
        raise MissingHere(
            f"{entry.path} belongs to another user.", "Run the same command as root."
        ) from None


def _remove_unheld(path: Path) -> bool:
    lock = claim(path)
    if lock is None:
        return _remove_dangling(path)
    try:
        if path.is_dir():
            _empty(path)
        else:
            path.unlink()  # before its manifest: a disk alone would be taken for damaged
            if path.suffix in (*DISKS, ".part"):
                manifest_path(path).unlink(missing_ok=True)
        if path.parent.name == "work":
            path.rmdir()
    finally:
        os.close(lock)
    return True


def _remove_dangling(path: Path) -> bool:
    """A base that is a link to a user's file goes when that file is gone, or with it."""
    if not path.is_symlink() or path.exists():
        return False
    path.unlink()
    manifest_path(path).unlink(missing_ok=True)
    return True


def _empty(folder: Path) -> None:
    """The folder itself stays: a bake may be waiting for its lock."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


# --- the limit that bakes keep -----------------------------------------------------------------


def limit() -> float:
    """Bytes. Raises BadInput for what is no size."""
    given = os.environ.get(LIMIT, "")
    try:
        size = float(given or DEFAULT_LIMIT)
    except ValueError:
        size = -1.0
    if not 0 <= size < float("inf"):
        raise BadInput(f"{LIMIT} is {given!r}, which is no number of GiB.", "Give one such as 20 or 0.5.")
    return size * GIB


def keep_within(limit: float, store: Store, monitor: Monitor) -> None:
    """Remove checkpoints and package caches, never images or bases; say so once."""
    kept = entries(store)
    if sum(entry.size for entry in kept) <= limit:
        return
    expendable = [entry for entry in kept if entry.kind != "work"]
    policy = Policy(max_size=limit, kinds=EXPENDABLE)
    gone = [entry for entry in chosen(expendable, policy, time.time()) if remove(entry)]
    freed = sum(entry.size for entry in gone)
    over = sum(entry.size for entry in kept) - freed > limit
    note(monitor, _said(limit, gone, freed) + (_STILL if over else ""))


_STILL = " It is still over it, with images and bases: see worker-bakery cache prune."


def _said(limit: float, gone: list[Entry], freed: int) -> str:
    removed = f"{len(gone)} checkpoints and package caches were removed ({freed / GIB:.1f} GiB)"
    return f"The cache was over its limit of {limit / GIB:g} GiB ({LIMIT}): {removed}."
