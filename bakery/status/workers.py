"""From the ads of slots to one row for each worker. Pure.

The attributes are those of HTCondor's startd (its manual, "Machine ClassAd Attributes") and those that
worker/common advertises.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Ad = Mapping[str, Any]  # as bakery/status/ask_ads.py prints it

PROJECTION = (
    "Name", "Machine", "MyAddress", "SlotType", "State", "Draining", "DrainReason",
    "EnteredCurrentActivity", "NumDynamicSlotsTime", "MyCurrentTime", "LastHeardFrom", "DaemonStartTime",
    "Cpus", "TotalSlotCpus", "Memory", "TotalSlotMemory", "GPUs", "TotalSlotGPUs",
    "RemoteOwner", "JobId", "Start", "NODE_IS_HEALTHY", "NODE_STATUS", "WorkerRetires", "WorkerEnds",
    "WorkerImage", "WorkerImageDate", "CloudInstanceID", "AuthenticatedIdentity",
)  # fmt: skip
# What is of interest in a dynamic slot; its partitionable slot has the rest.
OF_DYNAMIC_SLOTS = (
    "Name", "Machine", "MyAddress", "SlotType", "State", "Draining", "EnteredCurrentActivity",
    "LastHeardFrom", "Cpus", "Memory", "GPUs", "RemoteOwner", "JobId",
)  # fmt: skip
# Workers send an update at least every 60 s, and HTCondor by default every 300 s.
SILENT = 600  # seconds
STATES = ("busy", "idle", "retiring", "draining", "drained", "owner", "unhealthy", "Start error", "silent")
_LARGEST = 2**53  # a number that is larger is no number of anything
_CHANGES = ("EnteredCurrentActivity", "NumDynamicSlotsTime")  # of a slot, and of its dynamic slots
ANY_JOB, NO_JOB = "any job", "no job"


@dataclass(frozen=True)
class Worker:
    """A startd and its slots.

    Memory is in MiB; `idle`, `up` and `heard` are durations in seconds (None: not idle, or unknown);
    `retires`, `ends` and `image_date` are seconds since 1970; the date of an image is that of its newest
    package or of its bake. `state` is one of STATES. `healthy` is None for a worker
    that does not report its health. `accepts` is ANY_JOB or NO_JOB if Start is the same for all jobs, else
    "".
    """

    name: str
    state: str
    slots_busy: int
    slots: int
    cpus_busy: int
    cpus: int
    memory_busy: int
    memory: int
    gpus_busy: int
    gpus: int
    jobs: tuple[str, ...]
    users: tuple[str, ...]
    idle: int | None
    up: int | None
    heard: int | None
    retires: int | None
    ends: int | None
    image: str
    instance: str
    identity: str
    healthy: bool | None
    health: str
    drain_reason: str
    start: str
    accepts: str
    image_date: int | None = None


def workers_of(ads: Iterable[Ad], now: float) -> tuple[Worker, ...]:
    """Return the workers of these slots, by name.

    `now` is the time of the query by the collector's clock, in seconds since 1970.
    """
    return tuple(worker for worker, _ in with_slots(ads, now))


def in_order(workers: Iterable[Worker]) -> tuple[Worker, ...]:
    """Return workers by name."""
    return tuple(sorted(workers, key=lambda one: (_natural(one.name), one.name)))


def with_slots(ads: Iterable[Ad], now: float) -> tuple[tuple[Worker, tuple[Ad, ...]], ...]:
    """Return each worker with its slots: the dynamic ones last."""
    slots: dict[tuple[str, str], list[Ad]] = defaultdict(list)
    for ad in ads:
        slots[_daemon(ad), _host(_text(ad, "MyAddress"))].append(ad)
    ordered = sorted(slots.items(), key=lambda item: (_natural(item[0][0]), item[0]))
    grouped = ((name, tuple(sorted(found, key=_slot_order))) for (name, _), found in ordered)
    return tuple((_worker(name, found, now), found) for name, found in grouped)


def is_claimed(ad: Ad) -> bool:
    return _text(ad, "State") in ("Claimed", "Preempting")


def _worker(name: str, slots: Sequence[Ad], now: float) -> Worker:
    """Describe a worker by its slots; what concerns the machine is in the first one."""
    first, claimed = slots[0], [ad for ad in slots if is_claimed(ad)]
    heard = _since(now, _latest(slots, "LastHeardFrom"))
    clock = _clock(slots, now)
    start, accepts = _start(slots)
    healthy = first.get("NODE_IS_HEALTHY")
    return Worker(
        name=name,
        state=_state(slots, clock, heard, accepts, has_claim=bool(claimed)),
        slots_busy=len(claimed),
        slots=sum(not _is_used_up(ad) for ad in slots),
        cpus_busy=_sum(claimed, "Cpus"),
        cpus=_total(slots, "Cpus"),
        memory_busy=_sum(claimed, "Memory"),
        memory=_total(slots, "Memory"),
        gpus_busy=_sum(claimed, "GPUs"),
        gpus=_total(slots, "GPUs"),
        jobs=tuple(text for ad in claimed if (text := _text(ad, "JobId"))),
        users=tuple(sorted({text for ad in claimed if (text := _text(ad, "RemoteOwner"))})),
        idle=None if claimed else _since(clock, _latest(slots, *_CHANGES)),
        up=_since(clock, _number(first, "DaemonStartTime")),
        heard=heard,
        retires=_number(first, "WorkerRetires"),
        ends=_number(first, "WorkerEnds"),
        image=_text(first, "WorkerImage"),
        image_date=_number(first, "WorkerImageDate"),
        instance=_text(first, "CloudInstanceID"),
        identity=_text(first, "AuthenticatedIdentity"),
        healthy=healthy if isinstance(healthy, bool) else None,
        health=_text(first, "NODE_STATUS"),
        drain_reason=_text(first, "DrainReason") if _is_draining(slots) else "",
        start=start,
        accepts=accepts,
    )


def _state(slots: Sequence[Ad], clock: float, heard: int | None, accepts: str, *, has_claim: bool) -> str:
    """Name the state that matters most: first why no job starts. `heard` is a duration in seconds."""
    if heard is not None and heard > SILENT:
        return "silent"
    if _is_draining(slots):
        return "draining" if has_claim else "drained"
    if slots[0].get("NODE_IS_HEALTHY") is False:
        return "unhealthy"
    if accepts == NO_JOB:
        return "Start error"
    retires = _number(slots[0], "WorkerRetires")
    if retires is not None and retires <= clock:
        return "retiring"
    if has_claim:
        return "busy"
    return "owner" if all(_text(ad, "State") == "Owner" for ad in slots) else "idle"


def _start(slots: Sequence[Ad]) -> tuple[str, str]:
    """Return Start as it is published, and what it accepts; of several slots, the worst."""
    found = [_start_of(ad) for ad in slots]
    return next(
        (one for wanted in (NO_JOB, ANY_JOB) for one in found if one[1] == wanted),
        found[0],
    )


def _start_of(ad: Ad) -> tuple[str, str]:
    """A literal `true` accepts any job; HTCondor publishes it also for an empty START."""
    value = ad.get("Start")
    if isinstance(value, dict):
        text = str(value["expression"])
        broken = value["error"] or text.casefold() in ("error", "undefined")
        return text, NO_JOB if broken else ""
    if isinstance(value, bool):
        return str(value).lower(), ANY_JOB if value else ""
    # A startd always publishes Start; a collector's access rules may hide it.
    return ("", "") if value is None else (str(value), NO_JOB if isinstance(value, str) else "")


def _is_draining(slots: Sequence[Ad]) -> bool:
    return any(ad.get("Draining") is True or _text(ad, "State") == "Drained" for ad in slots)


def _is_used_up(ad: Ad) -> bool:
    """Whether it is a partitionable slot that has no CPU left for another job."""
    return _text(ad, "SlotType") == "Partitionable" and not _number(ad, "Cpus")


def _latest(slots: Sequence[Ad], *names: str) -> int | None:
    """Return the latest time in these attributes; None if there is none."""
    return max((when for ad in slots for name in names if (when := _number(ad, name))), default=None)


def _clock(slots: Sequence[Ad], now: float) -> float:
    """The time by the worker's own clock: that of its last update, and the time since then."""
    times = (
        (there, _number(ad, "LastHeardFrom") or now)
        for ad in slots
        if (there := _number(ad, "MyCurrentTime"))
    )
    return max((there + max(0.0, now - heard) for there, heard in times), default=now)


def _since(clock: float, when: float | None) -> int | None:
    return None if when is None else max(0, int(clock - when))


def _total(slots: Sequence[Ad], name: str) -> int:
    """What the slots have that a machine is divided into; dynamic slots take from these."""
    whole = [ad for ad in slots if _text(ad, "SlotType") != "Dynamic"]
    found = sum(_number(ad, f"TotalSlot{name}") or _number(ad, name) or 0 for ad in whole)
    return found or _sum(slots, name)


def _sum(ads: Iterable[Ad], name: str) -> int:
    return sum(_number(ad, name) or 0 for ad in ads)


def _daemon(ad: Ad) -> str:
    """`worker` of slot1_2@worker: the name of the startd."""
    name = _text(ad, "Name")
    return name.partition("@")[2] or name or _text(ad, "Machine")


@lru_cache(64)
def _host(address: str) -> str:
    """The address without port: a startd that starts again has another port, but replaces its ads."""
    return address.lstrip("<").partition("?")[0].rpartition(":")[0]


def _slot_order(ad: Ad) -> tuple[bool, Sequence[Any]]:
    return _text(ad, "SlotType") == "Dynamic", _of_slot(_text(ad, "Name").partition("@")[0])


@lru_cache(4096)
def _of_slot(name: str) -> tuple[tuple[int, str], ...]:
    """The slots of all workers have the same few names."""
    return _natural(name)


def _natural(text: str) -> tuple[tuple[int, str], ...]:
    """Order numbers in names by their value: node-2 is before node-10."""
    return tuple(map(_part, re.findall(r"[0-9]+|[^0-9]+", text)))


def _part(word: str) -> tuple[int, str]:
    return (int(word[:18]), "") if word[0] in "0123456789" else (-1, word.casefold())


def _text(ad: Ad, name: str) -> str:
    value = ad.get(name)
    return value if isinstance(value, str) else ""


def _number(ad: Ad, name: str) -> int | None:
    value = ad.get(name)
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if -_LARGEST < value < _LARGEST else None  # also: not infinite, not NaN
