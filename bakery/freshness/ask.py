"""Ask the repositories of a lock, in parallel, and read their package indexes if they have changed.

Indexes are kept in the store by their digest (packages/indexes), so each is downloaded once.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from bakery.freshness.lock import Index, Lock, Repository, Seen
from bakery.freshness.metadata import apt, rpm
from bakery.freshness.metadata.addresses import Addresses
from bakery.freshness.metadata.offers import Head, Offer, decompressed
from bakery.sources import http
from bakery.sources.http import Get
from bakery.store.store import Store
from provisioner.errors import BakeryError, Unreachable, WrongChecksum
from provisioner.process import run

_PARALLEL = 8


@dataclass(frozen=True)
class Heads:
    """The answers by repository; `failed` are the errors of those that gave none."""

    answered: Mapping[str, Head] = field(default_factory=dict)
    failed: Mapping[str, BakeryError] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        return any(head.changed for head in self.answered.values())

    @property
    def seen(self) -> dict[str, Seen]:
        return {name: head.seen for name, head in self.answered.items()}


def heads(lock: Lock, seen: Mapping[str, Seen], addresses: Addresses, get: Get = http.get) -> Heads:
    """Ask all repositories whether their metadata is still that in `seen`."""
    answered: dict[str, Head] = {}
    failed: dict[str, BakeryError] = {}

    def one(repository: Repository) -> None:
        try:
            answered[repository.id] = _head(lock, repository, seen.get(repository.id), addresses, get)
        except BakeryError as error:
            failed[repository.id] = error

    with run.threads(_PARALLEL) as threads:
        list(threads.map(one, lock.repositories))
    return Heads(answered, failed)


def _head(lock: Lock, repository: Repository, seen: Seen | None, addresses: Addresses, get: Get) -> Head:
    url = addresses.of(repository)
    if repository.system == "rpm":
        return rpm.ask(repository, url, seen, get)
    return apt.ask(repository, url, lock.architecture, lock.keys, seen, get)


def offers(
    lock: Lock, found: Heads, store: Store, addresses: Addresses, get: Get = http.get
) -> dict[str, list[Offer]]:
    """What the repositories that have answered offer of the lock's packages.

    Raises Unreachable, WrongChecksum, MissingHere.
    """
    cache = store.packages("indexes")
    by_id = {repository.id: repository for repository in lock.repositories}
    wanted = [
        (name, _place(by_id[name], head, addresses), index)
        for name, head in found.answered.items()
        for index in head.seen.indexes
    ]
    with run.threads(_PARALLEL) as threads:
        contents = list(threads.map(lambda one: _content(one[1], one[2], cache, get), wanted))
    texts: dict[str, list[tuple[str, bytes]]] = {name: [] for name in found.answered}
    for (name, _, index), content in zip(wanted, contents, strict=True):
        texts[name].append((index.what, content))
    return {name: _offers(lock, by_id[name], found.answered[name], texts[name]) for name in texts}


def _place(repository: Repository, head: Head, addresses: Addresses) -> str:
    """The URL below which the indexes are: the mirror may be another than when the metadata was read."""
    url = addresses.of(repository)
    if url == repository.mirror_list:
        return head.seen.base
    return url if repository.system == "rpm" else apt.folder(repository, url)


def _offers(lock: Lock, repository: Repository, head: Head, texts: list[tuple[str, bytes]]) -> list[Offer]:
    found: list[Offer] = []
    labelled = [rpm.security_updates(text) for what, text in texts if what == "updateinfo"]
    security = frozenset[tuple[str, str, str]]().union(*labelled)
    for text in (text for what, text in texts if what == "packages"):
        if repository.system == "rpm":
            read = rpm.offers(text, lock.names, repository.exclude)
            found += [replace(one, security=_key(one) in security) for one in read]
        else:
            found += apt.offers(text, lock.names, security=head.security)
    return found


def _key(offer: Offer) -> tuple[str, str, str]:
    return offer.name, offer.architecture, offer.version


# --- indexes -----------------------------------------------------------------------------------


def _content(base: str, index: Index, cache: Path, get: Get) -> bytes:
    """The decompressed index, from the cache or downloaded; its digest is verified in both cases."""
    path, _, named = index.path.partition("#")
    kept = cache / index.digest.replace(":", "-")
    with suppress(OSError):
        packed = kept.read_bytes()
        if _is_right(packed, index):
            return decompressed(packed, named or path)
    answer = get(f"{base}/{path}")
    if answer.status != 200:
        raise Unreachable(f"{base}/{path} does not exist.", "The mirror may be in the middle of an update.")
    if not _is_right(answer.body, index):
        raise WrongChecksum(
            f"{base}/{path} does not match its signed list.",
            "The mirror may be in the middle of an update.",
        )
    _keep(answer.body, kept)
    return decompressed(answer.body, named or path)


def _is_right(content: bytes, index: Index) -> bool:
    algorithm, _, digest = index.digest.rpartition(":")
    try:
        return hashlib.new(algorithm or "sha256", content).hexdigest() == digest
    except ValueError:
        return False


def _keep(content: bytes, at: Path) -> None:
    """Write the index into the cache; a cache that cannot be written costs a download only."""
    with suppress(OSError):
        at.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=at.parent, prefix=".part-", delete=False) as out:
            out.write(content)
        Path(out.name).rename(at)
        os.utime(at.parent)
