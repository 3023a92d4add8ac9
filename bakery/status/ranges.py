"""Divide the slots of a large pool into ranges of Machine for several queries. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

PROJECTION = ("Machine", "NumDynamicSlots")  # what `constraints` wants to know of the slots of WHOLE
WHOLE = 'SlotType =!= "Dynamic"'
DYNAMIC = 'SlotType =?= "Dynamic"'
LIMIT = 30_000  # dynamic slots of a query, about: 50 MB of ads
_FEW = 4  # a quarter of that is queried at once, with all attributes
WHOLE_WEIGHT = 2  # another slot has twice as many attributes
# HTCondor and we order these in the same way.
_ORDERED = re.compile(r"[A-Za-z0-9.-]+")


def constraints(slots: Iterable[tuple[object, object]], limit: int) -> list[str]:
    """Return ClassAd expressions; for each Machine, also for one that is undefined, exactly one is true.

    `slots` are the values of PROJECTION. A range has about `limit` dynamic slots at most, or half as many
    others, unless a single machine has more. [] is for slots that are too few for several queries.
    """
    weights = sorted(_weights(slots))
    if sum(weight for _, weight in weights) <= limit // _FEW:
        return []
    bounds = _bounds(weights, limit)
    if not bounds:
        return ["true"]
    firsts = [f'(Machine < "{bound}") =?= true' for bound in bounds]
    rests = [f'(Machine < "{bound}") =!= true' for bound in bounds]
    between = [f"{rest} && {first}" for rest, first in zip(rests[:-1], firsts[1:], strict=True)]
    return [f"({one})" for one in (firsts[0], *between, rests[-1])]


def _weights(slots: Iterable[tuple[object, object]]) -> Iterator[tuple[str, int]]:
    """Each machine in lower case, as HTCondor compares strings, and the weight of its slots."""
    for machine, dynamic in slots:
        name = machine.lower() if isinstance(machine, str) else ""
        yield name, WHOLE_WEIGHT + (max(dynamic, 0) if isinstance(dynamic, int) else 0)


def _bounds(weights: Sequence[tuple[str, int]], limit: int) -> list[str]:
    """Return the first machine of each range but the first one."""
    bounds: list[str] = []
    total, last = 0, ""
    for name, weight in weights:
        if total and total + weight > limit and name != last and _ORDERED.fullmatch(name):
            bounds.append(name)
            total = 0
        total += weight
        last = name
    return bounds
