"""Findings about workers that accept no job, whatever it is. Pure."""

from __future__ import annotations

from bakery.status.texts import duration, printable
from bakery.status.why.findings import Finding, Scope

_REASONS = 3  # of unhealthy workers


def start_false(scope: Scope) -> Finding:
    return Finding(
        "start-false",
        f"Start of {scope.names} is false: no job starts there.",
        "Correct Start in the user-data of the workers. It is also false until a worker is configured.",
    )


def start_error(scope: Scope) -> Finding:
    start = scope.workers[0].worker.start
    return Finding(
        "start-error",
        f"Start of {scope.names} has an error, so no job starts there: {printable(start)}",
        "Correct Start in the user-data of the workers (worker-bakery userdata --check).",
    )


def retiring(scope: Scope) -> Finding:
    ends = [one.worker.ends for one in scope.workers if one.worker.ends]
    left = f" {duration(max(0.0, max(ends) - scope.now))} are left." if ends else ""
    return Finding(
        "retiring",
        f"{scope.verb('is retiring', 'are retiring')} (MaxLifetime): only jobs that state a duration and "
        f"end in time start there.{left}",
        "State a duration that fits (allowed_execute_duration, in seconds), or start new workers.",
    )


def draining(scope: Scope) -> Finding:
    reason = next((one.worker.drain_reason for one in scope.workers if one.worker.drain_reason), "")
    why = f" ({printable(reason)})" if reason else ""
    slot = str(scope.workers[0].slot.get("Name", ""))
    return Finding(
        "draining",
        f"{scope.verb('is draining', 'are draining')}{why}: no job starts there.",
        "Cancel the draining, or start new workers.",
        ("condor_drain", "-cancel", slot) if slot.isprintable() else (),
    )


def unhealthy(scope: Scope) -> Finding:
    said = "; ".join(dict.fromkeys(printable(one.worker.health) for one in scope.workers[:_REASONS]))
    return Finding(
        "unhealthy",
        f"{scope.verb('is', 'are')} unhealthy: {said or 'no reason is given'}.",
        "Repair the cause, or start new workers.",
    )


def owner(scope: Scope) -> Finding:
    return Finding(
        "owner",
        f"The slots of {scope.names} are in the state Owner: the startd's policy (IS_OWNER) offers them to "
        "no job.",
        "Correct the policy of the workers.",
    )


def silent(scope: Scope) -> Finding:
    heard = min(one.worker.heard or 0 for one in scope.workers)
    return Finding(
        "silent",
        f"{scope.verb('has', 'have')} sent no update for {duration(heard)}: the machine or its network is "
        "down.",
        "Check the machine; its console has the state of the worker. Or start new workers.",
    )
