"""What a replacement does next, from the servers that are there. Pure.

Nothing is remembered between two runs but the size of the group, which the servers have in their metadata
until the last one is replaced. A run that was killed is continued by the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bakery.fleet import scaling
from bakery.fleet.states import Member


@dataclass(frozen=True)
class Goal:
    """The id of the image that all servers shall have, and how many are replaced at the same time."""

    image: str
    at_once: int


@dataclass(frozen=True)
class Remove:
    """Drain these workers, wait for their jobs, and delete their servers."""

    members: tuple[Member, ...]


@dataclass(frozen=True)
class Launch:
    """Launch so many servers."""

    count: int


@dataclass(frozen=True)
class Join:
    """Wait until these workers, which are of the image already, are in the pool."""

    members: tuple[Member, ...]


@dataclass(frozen=True)
class Done:
    """All servers are of the image, but for those that are locked."""

    locked: tuple[Member, ...] = ()


Step = Remove | Launch | Join | Done
_COMING = ("launched", "booting", "unknown")


def size(members: Sequence[Member]) -> int:
    """Return how many servers the group shall have: as an unfinished replacement found it, or as it is."""
    return max((one.server.size for one in members), default=0) or len(scaling.counted(members))


def outdated(members: Sequence[Member], image: str) -> list[Member]:
    """Return the servers of another image: those that do no work first, then those without jobs."""
    found = [one for one in members if one.server.image != image and one.state != "deleting"]
    working = scaling.counted(found)
    return sorted(found, key=lambda one: (one in working, one.has_job, one.server.created))


def is_unfinished(members: Sequence[Member], image: str) -> bool:
    """Return whether there is anything to replace, or a replacement that was begun."""
    return bool(outdated(members, image)) or any(one.server.size for one in members)


def next_step(members: Sequence[Member], goal: Goal, wanted: int) -> Step:
    """Return what to do next; `wanted` is the size of the group.

    A part of the group stays in the pool, also if `at_once` is its whole size, so that a run that is killed
    leaves a server that has the size.
    """
    old = outdated(members, goal.image)
    free = [one for one in old if not one.server.locked]
    counted = scaling.counted(members)
    useless = [one for one in free if one not in counted]
    if useless:
        return Remove(tuple(useless))
    coming = [one for one in counted if one not in old and one.state in _COMING]
    if coming:
        return Join(tuple(coming))
    # A worker that was launched by this replacement, and has done its work, is not launched again.
    ended = [one for one in members if _has_ended(one, goal)]
    if (missing := wanted - len(counted) - len(ended)) > 0:
        return Launch(missing)
    if not free:
        return Done(tuple(old))
    most = min(goal.at_once, max(1, len(counted) - 1))
    return Remove(tuple(free[:most]))


def _has_ended(member: Member, goal: Goal) -> bool:
    server = member.server
    return server.image == goal.image and bool(server.size) and member.state == "shut off"
