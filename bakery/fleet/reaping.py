"""Which servers of a fleet are deleted, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bakery.fleet import marks
from bakery.fleet.states import Member
from bakery.status.texts import duration

BUILD = 1800  # seconds
GRACE = 1800  # seconds: a worker ends its jobs and shuts down by itself at its MaxLifetime


@dataclass(frozen=True)
class Policy:
    """`build` is the longest time in BUILD, in seconds; `force` also deletes workers with running jobs."""

    build: float = BUILD
    force: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether a server is deleted, and why, or why it stays though there is a reason to delete it."""

    member: Member
    delete: bool
    reason: str


def verdicts(members: Iterable[Member], policy: Policy, now: float) -> list[Verdict]:
    """Return a verdict for each server that there is a reason to delete; `now` is the cloud's time."""
    reasons = ((member, _reason(member, policy, now)) for member in members)
    return [_verdict(member, reason, policy.force) for member, reason in reasons if reason]


def requested(members: Iterable[Member], reason: str, *, force: bool) -> list[Verdict]:
    """Return a verdict for each server, which somebody wants to delete."""
    return [_verdict(member, reason, force) for member in members if member.state != "deleting"]


def abandoned(
    groups: Iterable[Mapping[str, Any]], launch: str, policy: Policy, now: float
) -> list[Mapping[str, Any]]:
    """Return the server groups that a launch has left which was killed before it made a server.

    A group that is not old may be about to get its first server. `launch` is an id, "" for all.
    """
    return [
        group
        for group in groups
        if not group.get("members")
        and launch in ("", marks.launch_of_group(group["name"]))
        and (made := marks.date_of_group(group["name"])) is not None
        and now - made > policy.build
    ]


def _reason(member: Member, policy: Policy, now: float) -> str:
    server, age = member.server, now - member.server.created
    if member.state == "deleting":
        return ""
    if member.state == "shut off":
        return f"{server.status} for {duration(max(0.0, now - server.changed))}"
    if member.state == "error":
        return "ERROR" + (f": {server.fault}" if server.fault else "")
    if server.status == "BUILD" and age > policy.build:
        return f"in BUILD for {duration(age)}"
    if server.mark.lifetime and age > server.mark.lifetime + GRACE:
        return f"expired {duration(age - server.mark.lifetime)} ago"
    if member.state == "lost":
        return f"not in the pool for {duration(age)}"
    return ""


def _verdict(member: Member, reason: str, force: bool) -> Verdict:
    if member.server.locked:
        return Verdict(member, False, f"{reason}; it is locked")
    if force or member.state == "shut off":
        return Verdict(member, True, reason)
    if member.has_job:
        return Verdict(member, False, f"{reason}; a job runs on it (--force)")
    if member.server.running and not member.worker and not member.settled:
        return Verdict(
            member, False, f"{reason}; the pool does not know whether a job runs on it (--force)"
        )
    return Verdict(member, True, reason)
