"""`--refresh auto|always|never`: whether a bake may use an image or a checkpoint of the store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bakery.freshness import question
from bakery.freshness.age import age
from bakery.freshness.lock import Update, of_manifest
from bakery.freshness.metadata.addresses import Addresses
from bakery.store.store import Store
from provisioner.errors import BakeryError
from provisioner.events import Monitor, note, warn

Policy = Literal["auto", "always", "never"]
_NAMED = 10  # updates in a message


@dataclass(frozen=True)
class Verdict:
    """Whether the image must be baked again; otherwise `text` says how old it is."""

    stale: bool
    text: str = ""


def judge(
    disk: Path,
    manifest: Mapping[str, Any],
    policy: Policy,
    store: Store,
    addresses: Addresses,
    monitor: Monitor,
) -> Verdict:
    """Ask the repositories about an image of the store. If they do not answer, warn and use the image."""
    baked = f"baked {age(manifest)}"
    if policy == "always":
        note(monitor, f"The image in the cache, {baked}, is baked again (--refresh always).")
        return Verdict(stale=True)
    lock = of_manifest(manifest)
    if lock is None:
        warn(
            monitor,
            f"The image in the cache, {baked}, has no lock: an earlier version baked it. Whether its "
            "packages have updates is unknown. --refresh always bakes it again.",
        )
        return Verdict(stale=False)
    started = time.monotonic()
    answer = question.ask_about(lock, disk, manifest, store, addresses)
    if answer.failed:
        warn(
            monitor,
            f"{_failures(answer.failed)} Whether the image has updates is unknown; the one in the cache, "
            f"{baked}, is used.",
        )
        return Verdict(stale=False)
    wanted = question.worth_baking(answer.updates, lock)
    if not wanted:
        return Verdict(stale=False, text=f"{baked}; {_none(answer.updates, time.monotonic() - started)}")
    note(monitor, f"The image in the cache, {baked}, has updates: {listed(wanted)}. Baking it again.")
    return Verdict(stale=True)


def _none(left: tuple[Update, ...], seconds: float) -> str:
    text = f"its repositories had no updates for it {seconds:.1f} s ago"
    if left:
        text += f", except {len(left)} that a bake does not install (worker-bakery outdated lists them)"
    return text


def _failures(failed: Mapping[str, BakeryError]) -> str:
    return " ".join(
        f"Cannot ask the repository {name} for updates. {error}" if name else str(error)
        for name, error in sorted(failed.items())
    )


def listed(updates: tuple[Update, ...]) -> str:
    """The updates in one sentence, security updates first."""
    ordered = sorted(updates, key=lambda one: not one.security)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(map(str, ordered[:_NAMED])) + more


# --- checkpoints -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Judged:
    """What to do with a checkpoint; `why` is for a message."""

    use: bool
    remove: bool = False
    why: str = ""


def judge_checkpoint(
    disk: Path, manifest: Mapping[str, Any], strict: bool, store: Store, addresses: Addresses
) -> Judged:
    """Whether a bake may start from a checkpoint: its packages must have no updates.

    With `strict` (the image is stale) a checkpoint about which nothing is known is not used; otherwise
    it is, and the message says so.
    """
    lock = of_manifest(manifest)
    if lock is None:
        return Judged(not strict, why="its packages are not recorded")
    answer = question.ask_about(lock, disk, manifest, store, addresses)
    if answer.failed:
        return Judged(use=True, why=_failures(answer.failed))
    wanted = question.worth_baking(answer.updates, lock)
    return Judged(not wanted, remove=bool(wanted), why=listed(wanted) if wanted else "")
