"""Checks of a customization that require the base, its repositories, or the keys of the worker's file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bakery.image.bases import Base
from bakery.image.mkosi import Build
from provisioner import did_you_mean
from provisioner.errors import BadInput
from provisioner.packages.repositories import Repository
from provisioner.process.scrub import scrub
from provisioner.roles.customization import Customization

_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
# Of the partitions before the root (bakery/image/mkosi.py) and of the partition table.
_BEFORE_ROOT = 259 << 20
_GIB = 1 << 30
# A disk that no cloud would take; a slip of the unit.
_LARGEST = 16 << 40


def check(site: Customization, base: Base, kind: str, repositories: Sequence[Repository]) -> None:
    """Raises BadInput: the base or the kind of worker cannot have these additions."""
    check_root_size(site.root_size, base)
    _check_repositories(site, repositories)
    if site.worker:
        _check_worker(site.worker, kind)


def check_root_size(size: int, base: Base) -> None:
    """Raises BadInput. The size of a downloaded base is unknown until it is there; the engines check it."""
    if not size:
        return
    smallest = _built_size(base.source) if isinstance(base.source, Build) else 0
    if not smallest <= size <= _LARGEST or size % 512:
        at_least = f" The base {base.name} has {smallest / _GIB:.1f} GiB." if smallest else ""
        raise BadInput(
            f"The root size of {size / _GIB:.1f} GiB is not possible.{at_least}",
            "A disk can only be enlarged, to at most 16 TiB, in units of 512 bytes.",
        )


def _built_size(build: Build) -> int:
    found = re.fullmatch(r"(\d+)([KMGT]?)", build.root_size)
    return int(found[1]) * _UNITS.get(found[2], 1) + _BEFORE_ROOT if found else 0


def _check_repositories(site: Customization, known: Sequence[Repository]) -> None:
    taken = {each.id: "the plan of this base" for each in known}
    for repository in site.repositories:
        if repository.id in taken:
            raise BadInput(
                f"The repository {repository.id} is also defined by {taken[repository.id]}.",
                "Choose another id.",
            )
        taken[repository.id] = "this definition"


def _check_worker(defaults: Sequence[tuple[str, str]], kind: str) -> None:
    from bakery.userdata import rendering

    keys = {key.key: key for key in rendering.worker_keys(kind)}
    replaces: dict[str, str] = {}
    for name, value in defaults:
        if name not in keys:
            hint = did_you_mean.hint([name], keys, f"The keys are {', '.join(keys)}.")
            raise BadInput(f"The worker's file has no key {name}.", hint)
        key = keys[name]
        if key.kind == "token" or scrub(value) != value:
            raise BadInput(
                f"{name} cannot have a default in the image: images must not contain secrets.",
                "Pass the token to the worker in its user-data instead.",
            )
        rendering.check_value(key, value)
        other = replaces.setdefault(key.instead_of or name, name)
        if other != name:
            raise BadInput(f"Only one of {other}, {name} can have a default.", "Omit one of them.")
