"""Make the lock of a finished bake from what its package manager reported and the repositories say."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bakery.freshness import ask, compare
from bakery.freshness.ask import Heads
from bakery.freshness.compare import Offers
from bakery.freshness.inventory import Inventory
from bakery.freshness.lock import Lock, Repository
from bakery.freshness.metadata import definitions
from bakery.freshness.metadata.addresses import Addresses
from bakery.freshness.metadata.definitions import Sources
from bakery.sources import http
from bakery.sources.http import Get
from bakery.store.store import Store
from provisioner.errors import BakeryError, Interrupted
from provisioner.events import Event, Monitor, warn


class Installed:
    """A monitor that keeps the events of provisioner/installed.py and forwards the others."""

    def __init__(self, inner: Monitor) -> None:
        self._inner = inner
        self._rows: dict[int, list[str]] = {}

    def emit(self, event: Event) -> None:
        match event:
            case {"event": "installed", "steps": int(steps), "rows": list(rows)}:
                self._rows.setdefault(steps, []).extend(map(str, rows))
            case _:
                self._inner.emit(event)

    def rows(self, steps: int) -> list[str]:
        """What was reported after this number of steps; empty if nothing was."""
        return self._rows.get(steps, [])

    def steps(self) -> list[int]:
        """The numbers of steps after which packages were reported."""
        return sorted(self._rows)


def of_rows(found: Inventory, sources: Sources) -> Lock:
    """The lock without what the repositories say."""
    defined = definitions.of_image(found, sources)
    return Lock(found.system, found.architecture, found.packages, defined.repositories, defined.keys)


@dataclass(frozen=True)
class Metadata:
    """What the repositories say at the end of a bake; `offers` is None if something cannot be read."""

    heads: Heads
    offers: Offers | None


def read(lock: Lock, store: Store, addresses: Addresses, monitor: Monitor, get: Get = http.get) -> Metadata:
    """Read the metadata of all repositories of the lock. Each that cannot be read causes a warning."""
    heads = ask.heads(lock, {}, addresses, get)
    for name, error in heads.failed.items():
        warn(monitor, f"The lock of the image is incomplete: cannot read the repository {name}. {error}")
    try:
        return Metadata(heads, ask.offers(lock, heads, store, addresses, get))
    except Interrupted:
        raise
    except BakeryError as error:
        warn(monitor, f"The lock of the image is incomplete. {error}")
        return Metadata(heads, None)


def completed(lock: Lock, installed: Inventory, found: Metadata) -> Lock:
    """The lock with what the repositories say.

    If their metadata has changed since apt read it, or some is missing, the lock does not state what was
    seen: the next question then compares the package lists.
    """
    if found.offers is None:
        return lock
    lock = replace(lock, repositories=labelled(lock, found.heads))
    lock = replace(lock, packages=compare.with_origins(lock, found.offers))
    seen = found.heads.seen
    read_by_apt = not installed.digests or all(one.digest in installed.digests for one in seen.values())
    if found.heads.failed or not read_by_apt:
        return lock
    return replace(lock, seen=seen, kept=compare.updates(lock, found.offers))


def labelled(lock: Lock, heads: Heads) -> tuple[Repository, ...]:
    """The repositories; those whose metadata says so are marked as security archives."""
    return tuple(
        replace(
            one, security=one.security or (one.id in heads.answered and heads.answered[one.id].security)
        )
        for one in lock.repositories
    )
