"""The workers as a table with remarks and a summary, as JSON and as CSV. Pure."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar

from bakery.status.texts import counted, duration, gibibytes, named, printable, shortened
from bakery.status.workers import ANY_JOB, NO_JOB, STATES, Worker

_HEADER = ("worker", "state", "slots", "CPUs", "GiB", "GPUs", "jobs", "users", "idle", "up", "retires")
_NOTHING = "-"
WARNING = "WARNING: "
_SHORTEST_NAME = 12  # columns
_OLD_IMAGE = 60 * 86400  # seconds: Debian and Enterprise Linux publish security updates every few days
Key = TypeVar("Key")


def rows(workers: Sequence[Worker], now: float, width: int = 0) -> list[tuple[str, ...]]:
    """Return the cells of the table, the header first; without GPUs if no worker has any.

    If they do not fit into `width` columns (0: unlimited), the users are left out, and names shortened.
    """
    found = [_HEADER, *(_row(worker, now) for worker in workers)]
    if not any(worker.gpus for worker in workers):
        found = without(found, "GPUs")
    if excess(found, width) > 0:
        found = without(found, "users")
    if (over := excess(found, width)) > 0:
        longest = max(_SHORTEST_NAME, max(len(row[0]) for row in found) - over)
        found = [(shortened(row[0], longest), *row[1:]) for row in found]
    return found


def without(found: Sequence[tuple[str, ...]], title: str) -> list[tuple[str, ...]]:
    """Return the table without a column."""
    at = found[0].index(title)
    return [(*row[:at], *row[at + 1 :]) for row in found]


def excess(found: Sequence[tuple[str, ...]], width: int) -> int:
    """By how many columns of a terminal the table is too wide; it has two between cells."""
    widths = [max(map(len, column)) for column in zip(*found, strict=True)]
    return sum(widths) + 2 * (len(widths) - 1) - width if width else 0


def _row(worker: Worker, now: float) -> tuple[str, ...]:
    return (
        printable(worker.name, 60) or "?",
        worker.state,
        f"{worker.slots_busy}/{worker.slots}",
        f"{worker.cpus_busy}/{worker.cpus}",
        f"{gibibytes(worker.memory_busy)}/{gibibytes(worker.memory)}",
        f"{worker.gpus_busy}/{worker.gpus}" if worker.gpus else _NOTHING,
        str(len(worker.jobs)) if worker.jobs else _NOTHING,
        named([user.partition("@")[0] for user in worker.users]) or _NOTHING,
        _short(worker.idle),
        _short(worker.up),
        "now" if worker.retires is not None and worker.retires <= now
        else _short(None if worker.retires is None else worker.retires - now),
    )  # fmt: skip


def _short(seconds: float | None) -> str:
    return _NOTHING if seconds is None else duration(seconds).replace(" ", "")


def remarks(workers: Sequence[Worker], now: float) -> list[str]:
    """Return warnings, then what several workers have in common; each is one line.

    `now` is in seconds since 1970.
    """
    starts = _by(workers, lambda worker: worker.start)
    lines = [
        *(line for worker in workers for line in _of_worker(worker)),
        *(_start(text, names, _accepts(workers, text)) for text, names in starts.items()),
    ]
    users = _by_user(workers)
    lines += [f"Jobs of {named([user])}: on {named(names)}" for user, names in sorted(users.items())]
    images = _by(workers, lambda worker: _image(worker, now)).items()
    lines += [f"{text[0]}Image of {named(names)}: {text[1]}" for text, names in images]
    return sorted(lines, key=lambda line: not line.startswith(WARNING))


def _of_worker(worker: Worker) -> Iterator[str]:
    name = named([worker.name])
    if worker.healthy is False:
        yield f"{WARNING}{name} is unhealthy: {printable(worker.health) or 'no reason is given'}"
    if worker.state == "silent":
        yield f"{WARNING}{name} sent no update for {duration(worker.heard or 0)}."
    if worker.drain_reason:
        yield f"{name} is draining: {printable(worker.drain_reason)}"


def _accepts(workers: Sequence[Worker], start: str) -> str:
    return next(worker.accepts for worker in workers if worker.start == start)


def _start(text: str, names: Sequence[str], accepts: str) -> str:
    of = f"Start of {named(names)}"
    if accepts == ANY_JOB:
        return f"{WARNING}{of} is `true`: any job of any user of the pool may run there."
    if accepts == NO_JOB:
        return f"{WARNING}{of} has an error, so no job ever starts there: {printable(text)}"
    return f"{of}: {printable(text)}"


def _image(worker: Worker, now: float) -> tuple[str, str] | None:
    """The mark of an old image, and its name and age."""
    if not worker.image:
        return None
    name = printable(worker.image)
    if worker.image_date is None:
        return "", name
    age = max(0.0, now - worker.image_date)
    if age < _OLD_IMAGE:
        return "", f"{name}, {duration(age)} old"
    return WARNING, f"{name} is {duration(age)} old: bake it again for updates (worker-bakery outdated)"


def _by_user(workers: Sequence[Worker]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for worker in workers:
        for user in worker.users:
            found[user].append(worker.name)
    return found


def _by(workers: Sequence[Worker], key: Callable[[Worker], Key | None]) -> dict[Key, list[str]]:
    found: dict[Key, list[str]] = defaultdict(list)
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
    of = f" ({listed})" if workers else ""
    return f"{counted(len(workers), 'worker')}{of}; claimed: {' and '.join(claimed)}; {jobs}."


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
