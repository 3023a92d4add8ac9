"""Freshness of a bake: judge what the store has, and record the lock of what was baked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bakery.bake.options import package_mirror, replays
from bakery.bake.planned import Bake
from bakery.freshness import inventory, lock, record, refresh
from bakery.freshness.ask import Heads
from bakery.freshness.metadata.addresses import Addresses
from bakery.freshness.metadata.definitions import Sources
from bakery.freshness.record import Installed
from bakery.freshness.refresh import Verdict
from bakery.store.locks import try_exclusive_lock
from bakery.store.store import (
    Manifest,
    Store,
    checked_path,
    is_intact,
    manifest_path,
    read_manifest,
    write_manifest,
)
from provisioner.events import note, phase, warn


def asks(this: Bake) -> bool:
    """Whether this bake asks repositories for updates."""
    exact = replays(this.options) or this.options.snapshot is not None
    return this.options.refresh != "never" and not this.options.offline and not exact


def judged(this: Bake) -> Bake:
    """The bake with what the repositories say about the image of the store, if it has one."""
    manifest = read_manifest(this.stored) if asks(this) else None
    if manifest is None or not is_intact(this.stored):
        return this
    verdict: Verdict = refresh.judge(
        this.stored, manifest, this.options.refresh, this.store, _addresses(this), this.monitor
    )
    stale = manifest.get("sha256", "unknown") if verdict.stale else ""
    return replace(this, stale=stale, age=verdict.text)


def _addresses(this: Bake) -> Addresses:
    return Addresses(this.options.mirror, this.options.replaced.urls)


def _sources(this: Bake) -> Sources:
    base, options = this.base, this.options
    found = package_mirror(options).sources(base.release) if base.family == "debian" else ""
    named = bool(options.mirror or options.snapshot)
    return Sources(found, this.more_sources, base.release, named, options.replaced.temporary_urls)


# --- checkpoints -------------------------------------------------------------------------------


def usable(this: Bake) -> Store:
    """The store without checkpoints that the bake must not start from; stale ones are removed."""
    strict = bool(this.stale) or this.options.refresh == "always"
    return replace(this.store, ignored=frozenset(_unusable(this, strict)))


def _unusable(this: Bake, strict: bool) -> Iterator[str]:
    for done, path in this.store.checkpoints_of(this.plan):
        manifest = read_manifest(path)
        if manifest is None or not is_intact(path):
            continue
        if path.stem == this.options.just_made:
            return
        found = refresh.judge_checkpoint(path, manifest, strict, this.store, _addresses(this))
        name = f"checkpoint after {this.plan.steps[done - 1].role}"
        if found.use:
            if found.why:
                warn(this.monitor, f"Whether the {name} has updates is unknown: {found.why}.")
            return
        yield this.plan.id_after(done)
        note(this.monitor, f"The {name} is not used: {found.why}.")
        if found.remove:
            _remove(path)


def _remove(path: Path) -> None:
    """Remove a checkpoint, unless another process uses it; the next bake replaces it."""
    held = try_exclusive_lock(path)
    if held is None:
        return
    try:
        path.unlink()
        manifest_path(path).unlink(missing_ok=True)
        checked_path(path).unlink(missing_ok=True)
    finally:
        os.close(held)


# --- the lock of what was baked ----------------------------------------------------------------


def recorded(this: Bake, installed: Installed) -> Manifest:
    """The lock of the finished disk, as an entry of its manifest; {} if its packages are unknown.

    The checkpoints of this bake get theirs.
    """
    found = inventory.parse(installed.rows(len(this.plan.steps)))
    if not found:
        warn(this.monitor, "The image gets no lock: its package manager reported no packages.")
        return {}
    with phase(this.monitor, "record the versions of the packages"):
        plain = record.of_rows(found, _sources(this))
        metadata = _metadata(this, plain)
        for steps in installed.steps():
            _record_checkpoint(this, installed, steps, metadata)
        completed = lock.to_json(record.completed(plain, found, metadata))
        return {"lock": completed, "os_release": _named(found.release)}


def _named(release: Mapping[str, str]) -> dict[str, str]:
    """What os-release(5) says of the system, by which clouds know images, and of the image."""
    names = ("ID", "VERSION_ID", "VERSION_CODENAME", "IMAGE_ID", "IMAGE_VERSION")
    return {key: release[key] for key in names if key in release}


def _metadata(this: Bake, plain: lock.Lock) -> record.Metadata:
    """What the repositories say; with --offline nothing, so the lock has no origins."""
    if this.options.offline:
        return record.Metadata(Heads(), None)
    return record.read(plain, this.store, _addresses(this), this.monitor)


def _record_checkpoint(this: Bake, installed: Installed, steps: int, metadata: record.Metadata) -> None:
    disk = this.store.checkpoint(this.plan.id_after(steps))
    manifest, found = read_manifest(disk), inventory.parse(installed.rows(steps))
    if steps < len(this.plan.steps) and manifest and found:
        of_checkpoint = record.completed(record.of_rows(found, _sources(this)), found, metadata)
        write_manifest(disk, {**manifest, "lock": lock.to_json(of_checkpoint)})
