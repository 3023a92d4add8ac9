"""The verdict as lines of text and as JSON. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from bakery.status.texts import duration, named, printable
from bakery.status.why import job_ads, verdict
from bakery.status.why.clauses import Attribute, Clause, Side
from bakery.status.why.findings import Finding
from bakery.status.why.obstacles import Assessment
from bakery.status.why.verdict import Case, Row, Verdict

_HEADER = ("workers", "condition that is not true", "of", "job has", "worker has")
_NOTHING = "-"
# Of obstacles that no expression has.
_STATES: Mapping[str, str] = {
    "draining": "(the worker is draining)",
    "owner": "(the slots are in the state Owner)",
    "silent": "(the worker is silent)",
    "cpus": "(the slot is claimed)",
}
_MANY_VALUES = 3
_NOT_JUDGED = ("user priority", "group quotas", "preemption")
_PARALLEL = 11  # JobUniverse


def title(case: Case) -> str:
    """Describe the job in a line."""
    job = case.job
    owner = printable(job.text("Owner") or job.text("User"), 60)
    whose = f" of {owner}" if owner else ""
    since = job.number("EnteredCurrentStatus")
    lasts = f", {job_ads.STATES.get(job.status, 'in an unknown state')}"
    for_ = f" for {duration(max(0.0, case.now - since))}" if since else ""
    return f"Job {job.id}{whose}{lasts}{for_}"


def answer(found: Verdict) -> Iterator[str]:
    """The findings, each with what to change and the command that does it."""
    for number, finding in enumerate(found.findings):
        if number == 1:
            yield ""
        before = "" if number == 0 else "Then: "
        yield f"{before}{finding.text}"
        if finding.change:
            yield f"  {'Do first: ' if number == 0 else 'Do: '}{finding.change}"
        if finding.command:
            yield f"  {command(finding)}"


def command(finding: Finding) -> str:
    return shlex.join(finding.command)


def table(found: Verdict, total: int) -> list[tuple[str, ...]]:
    """Return the cells of the conditions that exclude workers, the header first.

    `now` marks what only other jobs keep from being true.
    """
    rows = [(row, clause) for row in found.rows for clause in row.obstacle.clauses or (None,)]
    return [_HEADER, *(_cells(row, clause, total) for row, clause in rows)]


def _cells(row: Row, clause: Clause | None, total: int) -> tuple[str, ...]:
    number = f"{len(row.workers)} of {total}{'' if row.lasting else ' now'}"
    if clause is None:
        return (
            number,
            _STATES.get(row.obstacle.kind, row.obstacle.kind),
            "worker",
            _NOTHING,
            named([one.worker.name for one in row.workers]),
        )
    return number, printable(clause.text), clause.side, _of_job(clause), _of_slots(row, clause)


def _of_job(clause: Clause) -> str:
    return "; ".join(_value(one) for one in clause.attributes if one.side == "job") or _NOTHING


def _value(one: Attribute) -> str:
    return f"{printable(one.name, 60)} {printable(one.value, 60)}"


def _of_slots(row: Row, clause: Clause) -> str:
    """The values of each attribute on all these workers."""
    names = dict.fromkeys(one.name for one in clause.attributes if one.side == "worker")
    return "; ".join(f"{printable(name, 60)} {_values(row, name)}" for name in names) or _NOTHING


def _values(row: Row, name: str) -> str:
    found = values(row, "worker", name)
    shown = [printable(value, 60) for value in found[:_MANY_VALUES]]
    return ", ".join([*shown, "…"] if len(found) > _MANY_VALUES else shown)


def values(row: Row, side: Side, name: str) -> list[str]:
    """Return the values of an attribute on the workers of a row, each once."""
    clauses = (
        clause
        for one in row.workers
        for obstacle in (*one.obstacles, *one.lacking)
        if obstacle.key == row.obstacle.key
        for clause in obstacle.clauses
    )
    return list(dict.fromkeys(value for clause in clauses if (value := clause.value(side, name))))


def not_judged(case: Case) -> tuple[str, ...]:
    """Name what decides whether a job runs, but is in no ad."""
    limits = case.job.text("ConcurrencyLimits")
    more = [f"concurrency limits ({printable(limits, 60)})"] if limits else ["concurrency limits"]
    if case.job.number("JobUniverse") == _PARALLEL:
        more.append("the dedicated scheduler of parallel jobs")
    return (*_NOT_JUDGED, *more)


def as_json(case: Case, found: Verdict, constraint: str) -> dict[str, Any]:
    """Return the answer for JSON. Strings of ads are as they are."""
    first = found.findings[0]
    return {
        "job": case.job.id,
        "state": job_ads.STATES.get(case.job.status, str(case.job.status)),
        "collector": case.pool.host,
        "constraint": constraint,
        "access_point": case.pool.access_point or None,
        "reason": first.reason,
        "findings": [_finding(one) for one in found.findings],
        "conditions": [_row(row) for row in found.rows],
        "workers": [_worker(one) for one in case.workers],
        "summary": verdict.summary(case.workers),
        "not_judged": list(not_judged(case)),
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "reason": one.reason,
        "text": one.text,
        "change": one.change,
        "command": command(one) if one.command else None,
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "kind": row.obstacle.kind,
        "lasting": row.lasting,
        "workers": [one.worker.name for one in row.workers],
        "clauses": [
            {
                "of": clause.side,
                "text": clause.text,
                "value": clause.outcome,
                "attributes": [
                    {
                        "of": one.side,
                        "name": one.name,
                        "values": values(row, one.side, one.name) or [one.value],
                    }
                    for one in clause.attributes
                ],
            }
            for clause in row.obstacle.clauses
        ],
    }


def _worker(one: Assessment) -> dict[str, Any]:
    return {
        "name": one.worker.name,
        "slot": one.slot.get("Name"),
        "state": one.worker.state,
        "accepts": one.accepts,
        "obstacles": [found.kind for found in one.obstacles],
        "lacking": [found.kind for found in one.lacking],
    }
