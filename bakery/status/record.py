"""The record of a group of workers: one JSON line for each query of the collector. Pure.

    {"record":1,"time":1795913875.2,"of":"WorkerGroupName == \\"g\\"","every":5.0,
     "totals":{"workers":1,"slots_busy":2,"slots":3,…},"workers":[["node-1","busy",2,3,2]]}
    {"record":1,"time":1795913880.4,"of":"WorkerGroupName == \\"g\\"","every":5.0,"failed":"No answer."}

`record` is the version of the format, and always the first key. Later versions may add keys, and elements
at the end of a worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from bakery.status import report
from bakery.status.texts import printable
from bakery.status.workers import Worker

VERSION = 1
_START = b'{"record":'
_LATER = "it was written by a later version of worker-bakery"
_LATEST = 250_000_000_000  # seconds since 1970: before the year 10000, in which calendars end

Time = Annotated[float, msgspec.Meta(ge=0, lt=_LATEST)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """A worker in a record: its name, its state, its claimed slots, all its slots, its jobs."""

    name: str
    state: str
    slots_busy: Count
    slots: Count
    jobs: Count


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A query. `time` is in seconds since 1970, `of` the constraint of the query.

    `every` is the time between two queries in seconds (None: a single query). `totals` are those of
    report.totals(). `workers` is None for a query without an answer; `failed` then has the reason.
    """

    record: int
    time: Time
    of: str
    every: Time | None = None
    totals: dict[str, Count] = {}
    workers: tuple[Seen, ...] | None = None
    failed: str = ""


class NotARecord(ValueError):
    """The line is no line of a record, or of a later version."""


def answered(workers: Sequence[Worker], of: str, now: float, every: float | None) -> Entry:
    """Return the entry of a query that was answered."""
    seen = (Seen(one.name, one.state, one.slots_busy, one.slots, len(one.jobs)) for one in workers)
    return Entry(VERSION, round(now, 1), of, every, report.totals(workers), tuple(seen))


def failed(reason: str, of: str, now: float, every: float | None) -> Entry:
    """Return the entry of a query that was not answered."""
    return Entry(VERSION, round(now, 1), of, every, failed=printable(reason))


def line_of(entry: Entry) -> bytes:
    return msgspec.json.encode(entry) + b"\n"


def parse(line: bytes) -> Entry | None:
    """Return the entry of a line; None for one that was only partly written. Raises NotARecord."""
    text = line.strip()
    if not _START.startswith(text[: len(_START)]):
        raise NotARecord("it does not begin with the version of a record")
    try:
        found = msgspec.json.decode(text, type=Entry)
    except msgspec.ValidationError as error:
        raise NotARecord(_LATER if _version(text) > VERSION else str(error)) from None
    except msgspec.DecodeError:
        return None
    if found.record > VERSION:
        raise NotARecord(_LATER)
    return found


def _version(text: bytes) -> int:
    number = text.removeprefix(_START).partition(b",")[0]
    return int(number) if number.isdigit() and len(number) < 10 else 0
