"""Findings about CPUs, memory, disk and GPUs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bakery.status.texts import counted, named, printable
from bakery.status.why import ads
from bakery.status.why.findings import Finding, Scope
from bakery.status.why.obstacles import RESOURCES, Assessment, Kind

_UNITS: Mapping[Kind, str] = {"cpus": "CPU", "gpus": "GPU"}
_SUBMIT: Mapping[Kind, str] = {"cpus": "request_cpus", "memory": "request_memory", "disk": "request_disk"}
_STEPS: Mapping[Kind, int] = {"memory": 128, "disk": 1024}  # in which a slot allots MB and KiB


def amount(kind: Kind, number: float) -> str:
    """Return an amount of a resource with its unit."""
    if kind == "disk":
        return f"{number / 1024**2:.1f} GiB" if number >= 1024**2 else f"{number:.0f} KiB"
    return f"{number:.0f} MB" if kind == "memory" else counted(int(number), _UNITS[kind])


def request(kind: Kind, number: float) -> str:
    """Say how much the job requests."""
    of = f" of {kind}" if kind in ("disk", "memory") else ""
    return f"the job requests {amount(kind, number)}{of}"


def size(one: Assessment, kind: Kind, *, free: bool = False) -> float:
    """Return how much of a resource the slot has; without `free` also what other jobs use."""
    now, total, _ = RESOURCES[kind]
    names = (now,) if free else (now, total)
    found: list[Any] = [one.slot.get(name) for name in names]
    return float(max((value for value in found if ads.is_number(value)), default=0))


def requested(scope: Scope) -> float:
    return float(scope.job.number(RESOURCES[scope.obstacle.kind][2]) or 0)


def too_large(kind: Kind, scope: Scope) -> Finding:
    wanted, largest = requested(scope), max(size(one, kind) for one in scope.workers)
    nearest = max(size(one, kind) for one in scope.nearest)
    step = _STEPS.get(kind, 1)
    possible = int(nearest - nearest % step if nearest > step else nearest)
    where = "" if nearest == largest else f" on {named([one.worker.name for one in scope.nearest])}"
    name = RESOURCES[kind][2]
    return Finding(
        kind,
        f"{_sentence(request(kind, wanted))}; the largest slot has {amount(kind, largest)}.",
        f"Request at most {amount(kind, possible)}{where} ({_SUBMIT[kind]} = {possible}), or start larger "
        "workers.",
        ("condor_qedit", scope.job.id, name, str(possible)),
    )


def gpus(scope: Scope) -> Finding:
    wanted, largest = requested(scope), max(size(one, "gpus") for one in scope.workers)
    asks = _sentence(request("gpus", wanted))
    if largest < wanted:
        has = f"the largest slot has {amount('gpus', largest)}" if largest else "the workers have none"
        fewer = "request fewer GPUs" if largest else "submit the job without request_gpus"
        return Finding(
            "gpus", f"{asks}; {has}.", f"Start workers with {'more ' if largest else ''}GPUs, or {fewer}."
        )
    required = next((one.value("job", "RequireGPUs") for one in scope.obstacle.clauses), "")
    return Finding(
        "gpus",
        f"{asks} with {printable(required)} (RequireGPUs); no worker has enough GPUs of this kind.",
        "Require less of the GPU (gpus_minimum_memory and the like), or start workers with such GPUs.",
    )


def lacking(scopes: Sequence[Scope]) -> Finding:
    """Explain that only other jobs keep this one from workers that would accept it."""
    waiting = scopes[0]
    wants = [
        f"{request(kind, requested(one))}, and {_free(kind, free)}"
        for one in scopes
        if (kind := one.obstacle.kind) in RESOURCES and one.obstacle.clauses
        for free in [max(size(worker, kind, free=True) for worker in one.workers)]
    ]
    users = sorted({user for one in waiting.workers for user in one.worker.users})
    whose = f" of {named(users)}" if users else ""
    why = f": {'; '.join(wants)}" if wants else ""
    return Finding(
        "busy",
        f"Other jobs{whose} occupy {waiting.names}, which would accept the job{why}.",
        "Wait until a job ends there, or start more workers.",
    )


def _free(kind: Kind, number: float) -> str:
    return f"the largest free slot has {amount(kind, number)}" if number > 0 else "none is free"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
