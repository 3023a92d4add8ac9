"""What the workers tell whoever watches. The engine never prints; it calls a monitor.

An event is plain data, so that it crosses a process boundary as one line of JSON:

    {"event": "begin", "name": "condor: install packages"}
    {"event": "end",   "name": "condor: install packages", "seconds": 16.2}
    {"event": "line",  "text": "Setting up condor …"}        a child's output
    {"event": "note",  "text": "…"}  {"event": "warning", "text": "…"}
    {"event": "progress", "name": "image.qcow2", "done": 1048576, "total": 902889472}   bytes, or null
    {"event": "log",   "path": "/…/serial.log"}              a file that explains a failure, to be kept
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

Event = dict[str, Any]


class Monitor(Protocol):
    def emit(self, event: Event) -> None: ...


class Silent:
    def emit(self, event: Event) -> None:
        return


class JsonLines:
    """One event a line; what `--json` prints on stderr and what sandboxes speak on stdout."""

    def __init__(self, out: IO[str] | None = None) -> None:
        self._out = out or sys.stderr

    def emit(self, event: Event) -> None:
        self._out.write(json.dumps(event) + "\n")
        self._out.flush()


def note(monitor: Monitor, text: str) -> None:
    monitor.emit({"event": "note", "text": text})


def warn(monitor: Monitor, text: str) -> None:
    monitor.emit({"event": "warning", "text": text})


def line(monitor: Monitor, text: str) -> None:
    monitor.emit({"event": "line", "text": text})


def progress(monitor: Monitor, name: str, done: int, total: int | None) -> None:
    """How many bytes of a file are there, of how many, if anybody knows."""
    monitor.emit({"event": "progress", "name": name, "done": done, "total": total})


def keep_log(monitor: Monitor, path: Path) -> None:
    """Of a file that will be gone soon; who keeps logs copies it before this returns or the file goes."""
    monitor.emit({"event": "log", "path": str(path)})


@contextmanager
def phase(monitor: Monitor, name: str) -> Iterator[None]:
    """A piece of work with a name; `end` is told only when it succeeded."""
    monitor.emit({"event": "begin", "name": name})
    started = time.monotonic()
    yield
    monitor.emit({"event": "end", "name": name, "seconds": round(time.monotonic() - started, 1)})
