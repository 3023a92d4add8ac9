"""The question of --refresh and `outdated`: does something that is installed have updates?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bakery.freshness import ask, checked, compare, record
from bakery.freshness.ask import Heads
from bakery.freshness.lock import Lock, Update
from bakery.freshness.metadata.addresses import Addresses
from bakery.sources import http
from bakery.sources.http import Get
from bakery.store.store import Store
from provisioner.errors import BakeryError, Interrupted


@dataclass(frozen=True)
class Answer:
    """`updates` of the packages; `failed` are the errors by repository, for those not asked.

    `compared` is whether the package lists were read; otherwise the metadata had not changed.
    """

    updates: tuple[Update, ...] = ()
    failed: Mapping[str, BakeryError] | None = None
    compared: bool = False


def ask_about(lock: Lock, disk: Path, manifest: Mapping[str, Any], store: Store, addresses: Addresses,
              get: Get = http.get) -> Answer:  # fmt: skip
    """Ask about a disk of the store, and note the answer beside it.

    Errors of repositories are in the answer. If no metadata has changed since the last answer, this costs
    one conditional request for each repository.
    """
    last = checked.read(disk, manifest)
    seen = last.seen if last else lock.seen
    known = last.updates if last else lock.kept
    found = ask.heads(lock, seen, addresses, get)
    if found.failed:
        return Answer(known, found.failed)
    note = checked.write if disk.is_relative_to(store.root) else _do_not_write
    if not found.changed:
        note(disk, manifest, found.seen, known)
        return Answer(known)
    try:
        updates = updates_of(lock, found, store, addresses, get)
    except Interrupted:
        raise
    except BakeryError as error:
        return Answer(known, {"": error})
    note(disk, manifest, found.seen, updates)
    return Answer(updates, compared=True)


def _do_not_write(*_: Any) -> None:
    """For an image in a folder of the user."""


def updates_of(
    lock: Lock, found: Heads, store: Store, addresses: Addresses, get: Get = http.get
) -> tuple[Update, ...]:
    """Read the package lists and compare. Raises Unreachable, WrongChecksum, MissingHere."""
    named = replace(lock, repositories=record.labelled(lock, found))
    return compare.updates(named, ask.offers(lock, found, store, addresses, get))


def worth_baking(updates: tuple[Update, ...], lock: Lock) -> tuple[Update, ...]:
    """The updates that a bake would install: not those that the last bake already left."""
    kept = {(one.name, one.architecture, one.available) for one in lock.kept}
    return tuple(one for one in updates if (one.name, one.architecture, one.available) not in kept)
