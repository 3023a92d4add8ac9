"""Read the event log of a job (HTCondor manual, "Job Event Log Codes").

An event is a line `NNN (cluster.process.subprocess) date time text`, further lines, and a line `...`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

SUBMITTED, EXECUTING, EVICTED, TERMINATED, ABORTED, HELD, RELEASED = 0, 1, 4, 5, 9, 12, 13
DISCONNECTED, RECONNECTED, RECONNECT_FAILED = 22, 23, 24
_HEADER = re.compile(r"(\d{3}) \((\d+)\.(\d+)\.\d+\) \S+ \S+ (.*)")
_SLOT = re.compile(r"SlotName: (?:\S+@)?(\S+)")
_END = "..."


@dataclass(frozen=True)
class Event:
    """An event: its number, the cluster of its job, and its lines without indentation."""

    number: int
    cluster: int
    lines: tuple[str, ...]


def events(text: str) -> Iterator[Event]:
    """The complete events of a log; the last one may still be written."""
    lines: list[str] = []
    for line in text.splitlines():
        if line == _END:
            header = _HEADER.fullmatch(lines[0]) if lines else None
            if header:
                yield Event(
                    int(header[1]), int(header[2]), (header[4], *(one.strip() for one in lines[1:]))
                )
            lines = []
        else:
            lines.append(line)


def has_ended(found: list[Event], cluster: int) -> bool:
    """Return whether the job of this cluster has left the queue."""
    return any(event.cluster == cluster and event.number in (TERMINATED, ABORTED) for event in found)


def machine(found: list[Event]) -> str:
    """The machine on which the job was last started; "" before that."""
    for event in reversed(found):
        if event.number == EXECUTING:
            slot = _SLOT.search("\n".join(event.lines))
            return slot[1] if slot else event.lines[0].rpartition(": ")[2]
    return ""


def starts(found: list[Event]) -> int:
    """How often a job was started, all attempts together."""
    return sum(event.number == EXECUTING for event in found)


def state(found: list[Event]) -> str:
    """What the job is doing: idle, running, disconnected, held, collecting (its
    image, by the POST script), removed; "" if it was not submitted."""
    names = {
        SUBMITTED: "idle",
        EXECUTING: "running",
        EVICTED: "idle",
        TERMINATED: "collecting",
        ABORTED: "removed",
        HELD: "held",
        RELEASED: "idle",
        DISCONNECTED: "disconnected",
        RECONNECTED: "running",
        RECONNECT_FAILED: "idle",
    }
    return next((names[event.number] for event in reversed(found) if event.number in names), "")


def hold_reason(found: list[Event]) -> str:
    """The reason of the last hold, if the job has not been started since."""
    for event in reversed(found):
        if event.number == HELD:
            return event.lines[1] if len(event.lines) > 1 else "no reason given"
        if event.number == EXECUTING:
            return ""
    return ""
