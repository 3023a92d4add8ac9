"""Compare the packages of an image with the offers of its repositories; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cmp_to_key

from bakery.freshness.lock import Lock, Package, Repository, Update
from bakery.freshness.metadata.offers import Offer
from bakery.freshness.versions import COMPARE, Compare

Offers = Mapping[str, Sequence[Offer]]  # by the id of the repository

# Architectures of packages without machine code, which may replace one another.
_INDEPENDENT = ("all", "noarch")
_INSTALLED = 100  # apt's priority of a version that only the machine itself has


def updates(lock: Lock, offers: Offers) -> tuple[Update, ...]:
    """The packages for which apt or dnf would choose a newer version, sorted by name."""
    compare, by_name = COMPARE[lock.system], _by_name(lock.repositories, offers)
    found = (_update(package, by_name[package.name], lock, compare) for package in _newest(lock, compare))
    return tuple(sorted((one for one in found if one), key=lambda one: (one.name, one.architecture)))


def _by_name(
    repositories: Iterable[Repository], offers: Offers
) -> dict[str, list[tuple[Repository, Offer]]]:
    found: dict[str, list[tuple[Repository, Offer]]] = defaultdict(list)
    for repository in repositories:
        for offer in offers.get(repository.id, ()):
            found[offer.name].append((repository, offer))
    return found


def _newest(lock: Lock, compare: Compare) -> Iterable[Package]:
    """Each package once: of kernels, which rpm installs side by side, the newest."""
    found: dict[tuple[str, str], Package] = {}
    for package in lock.packages:
        key = package.name, package.architecture
        if key not in found or compare(package.version, found[key].version) > 0:
            found[key] = package
    return found.values()


def _update(
    package: Package, offered: list[tuple[Repository, Offer]], lock: Lock, compare: Compare
) -> Update | None:
    candidates = [
        (repository, offer)
        for repository, offer in offered
        if _replaces(package, offer, lock.architecture) and compare(offer.version, package.version) >= 0
    ]
    newer = _chosen(package, candidates, compare)
    if newer is None:
        return None
    repository, offer = newer
    # A security update that is not the newest version is missing as well.
    security = any(
        (one.security or its.security) and compare(one.version, package.version) > 0
        for its, one in candidates
    )
    return Update(
        package.name, package.architecture, package.version, offer.version, repository.id, security
    )


def _chosen(
    package: Package, candidates: list[tuple[Repository, Offer]], compare: Compare
) -> tuple[Repository, Offer] | None:
    """The version with the highest priority, of these the highest, see apt_preferences(5).

    None if that is the installed one. Repositories of rpm have equal priorities here.
    """
    mine = max(
        (its.priority for its, one in candidates if one.version == package.version), default=_INSTALLED
    )
    newer = [one for one in candidates if one[1].version != package.version and one[0].priority >= mine]
    versions = cmp_to_key(compare)
    best = max(newer, key=lambda one: (one[0].priority, versions(one[1].version)), default=None)
    return best if best and compare(best[1].version, package.version) > 0 else None


def _replaces(package: Package, offer: Offer, native: str) -> bool:
    if _is_modular(package.version) != _is_modular(offer.version):
        return False  # dnf hides the packages of a module from others, and the reverse
    mine, other = package.architecture, offer.architecture
    return mine == other or (
        {mine, other} <= {native, *_INDEPENDENT} and (mine in _INDEPENDENT or other in _INDEPENDENT)
    )


def _is_modular(version: str) -> bool:
    """Whether the package belongs to a module of EL8 or EL9, by the release of its version."""
    return ".module+el" in version or ".module_el" in version


def with_origins(lock: Lock, offers: Offers) -> tuple[Package, ...]:
    """The packages, each with the repository that offers exactly its version."""
    first: dict[tuple[str, str, str], str] = {}
    for repository in lock.repositories:
        for offer in offers.get(repository.id, ()):
            first.setdefault((offer.name, offer.architecture, offer.version), repository.id)
    return tuple(
        Package(p.name, p.architecture, p.version, first.get((p.name, p.architecture, p.version), ""))
        for p in lock.packages
    )


def gone(wanted: Lock, offers: Offers) -> tuple[Package, ...]:
    """The packages of a lock whose version no repository offers any more."""
    known = {(offer.name, offer.version) for found in offers.values() for offer in found}
    return tuple(package for package in wanted.packages if (package.name, package.version) not in known)
