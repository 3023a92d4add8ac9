"""What changed among workers between two answers of a collector. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bakery.status.texts import counted, printable
from bakery.status.workers import Worker

JOINED, LEFT, RESTARTED = "joined", "left", "up"  # the last one is the title of a column
Key = tuple[str, int]  # a worker's name, and how many workers of that name come before it
_RESTARTED = 30  # seconds by which the time since the start is shorter: clocks differ by less
# What may change, and the attributes that have it. Durations are not here: they grow.
# The first ones are titles of columns of the table.
_KINDS: Mapping[str, tuple[str, ...]] = {
    "state": ("state",),
    "slots": ("slots_busy", "slots"),
    "CPUs": ("cpus_busy", "cpus"),
    "GiB": ("memory_busy", "memory"),
    "GPUs": ("gpus_busy", "gpus"),
    "jobs": ("jobs",),
    "users": ("users",),
    "Start": ("start", "accepts"),
    "health": ("healthy", "health"),
    "image": ("image",),
    "instance": ("instance", "identity"),
    "retirement": ("retires", "ends"),
    "reason of draining": ("drain_reason",),
}
_OF_JOBS = ("state", "jobs", "slots", "CPUs", "GiB", "users")


@dataclass(frozen=True)
class Change:
    """`kinds` are JOINED or LEFT, or RESTARTED and the names above; `text` is one printable line."""

    worker: Key
    kinds: tuple[str, ...]
    text: str


def changes_of(before: Sequence[Worker], after: Sequence[Worker]) -> tuple[Change, ...]:
    """Return the changes of workers, in the order of the table, and then those who left."""
    old, new = keyed(before), keyed(after)
    keys = dict.fromkeys((*new, *old))
    return tuple(one for key in keys for one in _of_worker(key, old.get(key), new.get(key)))


def keyed(workers: Sequence[Worker]) -> Mapping[Key, Worker]:
    """Workers by name: several may have the same, and each gets a number."""
    count: Counter[str] = Counter()
    found = {}
    for worker in workers:
        found[worker.name, count[worker.name]] = worker
        count[worker.name] += 1
    return found


def _of_worker(key: Key, old: Worker | None, new: Worker | None) -> Iterator[Change]:
    name = printable(key[0], 60) or "?"
    if new is None:
        yield Change(key, (LEFT,), f"{name} left")
    elif old is None:
        yield Change(key, (JOINED,), f"{name} joined: {new.state}")
    elif kinds := tuple(_kinds(old, new)):
        yield Change(key, kinds, f"{name}: {', '.join(_words(old, new, kinds))}")


def _kinds(old: Worker, new: Worker) -> Iterator[str]:
    yield from (kind for kind, names in _KINDS.items() if _values(old, names) != _values(new, names))
    if old.up is not None and new.up is not None and new.up + _RESTARTED < old.up:
        yield RESTARTED


def _values(worker: Worker, names: Sequence[str]) -> tuple[object, ...]:
    return tuple(getattr(worker, name) for name in names)


def _words(old: Worker, new: Worker, kinds: Sequence[str]) -> Iterator[str]:
    """What a reader wants to know; that slots and users change with the jobs needs no words."""
    found = [*_of_state_and_jobs(old, new)]
    others = [kind for kind in kinds if kind not in _OF_JOBS]
    yield from found
    yield from ("restarted" if kind == RESTARTED else f"{kind} changed" for kind in others)
    if not found and not others:
        yield f"{' and '.join(kinds)} changed"


def _of_state_and_jobs(old: Worker, new: Worker) -> Iterator[str]:
    if old.state != new.state:
        yield f"{old.state} → {new.state}"
    if len(old.jobs) != len(new.jobs):
        yield f"{len(old.jobs)} → {counted(len(new.jobs), 'job')}"
    elif old.jobs != new.jobs:
        yield f"other jobs ({len(new.jobs)})"
