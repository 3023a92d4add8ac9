"""A fleet as a table, sentences and JSON. Pure."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from bakery.fleet import rates as costs
from bakery.fleet.rates import Rates
from bakery.fleet.reaping import Verdict
from bakery.fleet.states import STATES, Member
from bakery.status.texts import counted, duration, named, printable

_HEADER = ("server", "state", "group", "flavor", "jobs", "age", "cost")
_NOTHING = "-"


def rows(members: Sequence[Member], rates: Rates | None, now: float) -> list[tuple[str, ...]]:
    """Return the cells of the table, the header first; without costs if there are no rates."""
    found = [_HEADER, *(_row(member, rates, now) for member in members)]
    return found if rates else [row[:-1] for row in found]


def _row(member: Member, rates: Rates | None, now: float) -> tuple[str, ...]:
    server, worker = member.server, member.worker
    return (
        printable(server.name, 63),
        member.state,
        printable(server.mark.group, 40),
        printable(server.flavor, 40) or _NOTHING,
        str(len(worker.jobs)) if worker and worker.jobs else _NOTHING,
        duration(max(0.0, now - server.created)),
        costs.amount(rates.so_far(server, now), rates.unit) if rates else "",
    )


def remarks(members: Sequence[Member], rates: Rates | None, now: float, cloud: str) -> Iterator[str]:
    """Yield sentences about the members: what costs and does no work, faults, and the sum."""
    for member in members:
        if member.state == "error":
            yield f"{named([member.server.name])}: {printable(member.server.fault) or 'no fault is given'}"
    useless = [one for one in members if one.state in ("shut off", "error", "lost")]
    if useless:
        command = shlex.join(("worker-bakery", "fleet", "reap", "--cloud", cloud))
        yield f"WARNING: {counted(len(useless), 'server')} without a worker may still be charged: {command}"
    yield summary(members, rates, now)


def summary(members: Sequence[Member], rates: Rates | None, now: float) -> str:
    """Return one sentence for all members."""
    states = Counter(member.state for member in members)
    listed = ", ".join(f"{states[state]} {state}" for state in STATES if states[state])
    text = f"{counted(len(members), 'server')}{f' ({listed})' if listed else ''}"
    if not rates:
        return f"{text}. Costs are not known: use --rates FILE."
    hourly = costs.amount(costs.total(rates.per_hour(one.server) for one in members), rates.unit)
    so_far = costs.amount(costs.total(rates.so_far(one.server, now) for one in members), rates.unit)
    return f"{text}; {hourly} per hour, about {so_far} so far ({basis(rates)})."


def basis(rates: Rates) -> str:
    """Return where the rates come from."""
    about = ", ".join(filter(None, (rates.source, rates.date)))
    return f"rates of {printable(about)}" if about else "your rates"


def verdict(one: Verdict) -> str:
    """Return a line about a server that is deleted, or that stays although there is a reason."""
    what = "delete" if one.delete else "keep"
    return f"{what} {printable(one.member.server.name, 63)}: {printable(one.reason)}"


def verdict_data(one: Verdict, left: Collection[str]) -> dict[str, Any]:
    """Return a verdict for JSON; `left` are the ids of servers that are still there."""
    server = one.member.server
    return {
        "id": server.id,
        "name": server.name,
        "group": server.mark.group,
        "launch": server.mark.launch,
        "state": one.member.state,
        "delete": one.delete,
        "reason": one.reason,
        "left": server.id in left,
    }


def as_json(members: Sequence[Member], rates: Rates | None, now: float) -> dict[str, Any]:
    """Return the members and the sums for JSON."""
    known = (
        [(one, rates.per_hour(one.server), rates.so_far(one.server, now)) for one in members]
        if rates
        else []
    )
    states = Counter(member.state for member in members)
    return {
        "servers": [as_data(member, rates, now) for member in members],
        "states": {state: states[state] for state in STATES if states[state]},
        "unit": rates.unit if rates else None,
        "per_hour": costs.total(price for _, price, _ in known) if rates else None,
        "cost": costs.total(price for _, _, price in known) if rates else None,
    }


def as_data(member: Member, rates: Rates | None, now: float) -> dict[str, Any]:
    """Return a member for JSON. Times are seconds; nothing in it is secret."""
    server, worker = member.server, member.worker
    return {
        "id": server.id,
        "name": server.name,
        "state": member.state,
        "status": server.status,
        "group": server.mark.group,
        "launch": server.mark.launch,
        "pool": server.mark.pool,
        "flavor": server.flavor,
        "created": server.created,
        "age": max(0, int(now - server.created)),
        "fault": server.fault,
        "worker": worker.name if worker else None,
        "jobs": list(worker.jobs) if worker else [],
        "per_hour": rates.per_hour(server) if rates else None,
        "cost": rates.so_far(server, now) if rates else None,
    }
