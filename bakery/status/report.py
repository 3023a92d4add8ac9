"""The workers as a table with remarks and a summary, as JSON and as CSV. Pure."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any

from bakery.status.texts import counted, duration, gibibytes, named, printable, relative
from bakery.status.workers import ANY_JOB, NO_JOB, STATES, Worker

_NOTHING = "-"


def rows(workers: Sequence[Worker], now: float) -> list[tuple[str, ...]]:
    """Return the cells of the table, the header first; without GPUs if no worker has any."""
    have_gpus = any(worker.gpus for worker in workers)
    header = ("worker", "state", "slots", "CPUs", "GiB", "GPUs", "jobs", "idle", "up", "retires")
    found = [header, *(_row(worker, now) for worker in workers)]
    return found if have_gpus else [(*row[:5], *row[6:]) for row in found]


def _row(worker: Worker, now: float) -> tuple[str, ...]:
    memory = f"{gibibytes(worker.memory_busy)}/{gibibytes(worker.memory)}"
    return (
        printable(worker.name) or "?",
        worker.state,
        f"{worker.slots_busy}/{worker.slots}",
        f"{worker.cpus_busy}/{worker.cpus}",
        memory,
        f"{worker.gpus_busy}/{worker.gpus}" if worker.gpus else _NOTHING,
        _jobs(worker),
        _NOTHING if worker.idle is None else duration(worker.idle),
        _NOTHING if worker.up is None else duration(worker.up),
        _NOTHING if worker.retires is None else relative(worker.retires, now),
    )


def _jobs(worker: Worker) -> str:
    if not worker.jobs and not worker.users:
        return _NOTHING
    return f"{len(worker.jobs)}: {named([user.partition('@')[0] for user in worker.users])}"


def remarks(workers: Sequence[Worker]) -> Iterator[str]:
    """Yield warnings, then what several workers have in common; each is one line."""
    for worker in workers:
        if worker.healthy is False:
            reason = printable(worker.health) or "no reason is given"
            yield f"WARNING: {named([worker.name])} is unhealthy: {reason}"
        if worker.state == "silent":
            yield f"WARNING: {named([worker.name])} sent no update for {duration(worker.heard or 0)}."
        if worker.drain_reason:
            yield f"{named([worker.name])} is draining: {printable(worker.drain_reason)}"
    for text, names in _by(workers, lambda worker: worker.start).items():
        yield _start(text, names, _accepts(workers, text))
    for text, names in _by(workers, lambda worker: worker.image).items():
        yield f"Image of {named(names)}: {printable(text)}"


def _accepts(workers: Sequence[Worker], start: str) -> str:
    return next(worker.accepts for worker in workers if worker.start == start)


def _start(text: str, names: Sequence[str], accepts: str) -> str:
    of = f"Start of {named(names)}"
    if accepts == ANY_JOB:
        return f"WARNING: {of} is `true`: any job of any user of the pool may run there."
    if accepts == NO_JOB:
        return f"WARNING: {of} has an error, so no job ever starts there: {printable(text)}"
    return f"{of}: {printable(text)}"


def _by(workers: Sequence[Worker], key: Callable[[Worker], str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for worker in workers:
        if value := key(worker):
            found[value].append(worker.name)
    return found


def summary(workers: Sequence[Worker]) -> str:
    """Return one sentence for all workers."""
    states = Counter(worker.state for worker in workers)
    listed = ", ".join(f"{states[state]} {state}" for state in STATES if states[state])
    total = totals(workers)
    claimed = [f"{total['cpus_busy']} of {counted(total['cpus'], 'CPU')}"]
    if total["gpus"]:
        claimed.append(f"{total['gpus_busy']} of {counted(total['gpus'], 'GPU')}")
    users = sorted({user for worker in workers for user in worker.users})
    whose = f" of {named(users)}" if users else ""
    jobs = f"{counted(total['jobs'], 'job')}{whose}"
    return f"{counted(len(workers), 'worker')} ({listed}); claimed: {' and '.join(claimed)}; {jobs}."


def totals(workers: Sequence[Worker]) -> dict[str, int]:
    """Return the sums of all workers; memory is in MiB."""
    names = ("slots_busy", "slots", "cpus_busy", "cpus", "memory_busy", "memory", "gpus_busy", "gpus")
    found = {name: sum(getattr(worker, name) for worker in workers) for name in names}
    return {"workers": len(workers), **found, "jobs": sum(len(worker.jobs) for worker in workers)}


def as_json(workers: Sequence[Worker]) -> dict[str, Any]:
    """Return the workers and the totals for JSON."""
    return {"workers": [asdict(worker) for worker in workers], "totals": totals(workers)}


def as_csv(workers: Sequence[Worker]) -> str:
    """Return a line for the header and each worker; several values of a cell are separated by spaces."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [field.name for field in fields(Worker)]
    writer.writerow(names)
    for worker in workers:
        writer.writerow([_cell(getattr(worker, name)) for name in names])
    return out.getvalue()


def _cell(value: object) -> str:
    """As in JSON, without quotes; unknown values are empty."""
    if isinstance(value, tuple):
        return " ".join(printable(str(one)) for one in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else printable(str(value), longest=10_000)
