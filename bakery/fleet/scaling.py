"""Which servers go if a fleet shall have fewer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bakery.fleet.states import Member, State

# Those that do the least work go first; what does no work at all (shut off, error, lost) does not count.
_ORDER: tuple[State, ...] = ("launched", "booting", "idle", "joined", "unknown", "busy")
NOT_COUNTED: tuple[State, ...] = ("shut off", "error", "lost", "deleting")


def counted(members: Sequence[Member]) -> list[Member]:
    """Return the members that work or will."""
    return [member for member in members if member.state not in NOT_COUNTED]


def surplus(members: Sequence[Member], wanted: int, *, force: bool) -> list[Member]:
    """Return the members to delete so that `wanted` are left; fewer if jobs run on the others.

    Of the same state, the oldest go first. `force` also takes members with running jobs.
    """
    there = counted(members)
    able = [one for one in there if not one.server.locked and (force or is_free(one))]
    able.sort(key=lambda one: (one.has_job, _ORDER.index(one.state), one.server.created))
    return able[: max(0, len(there) - wanted)]


def is_free(member: Member) -> bool:
    """Whether it is known that no job runs there."""
    known = member.worker is not None or member.settled or not member.server.running
    return not member.has_job and known
