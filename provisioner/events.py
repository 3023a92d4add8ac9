"""Progress events. Libraries never print; they emit events to a monitor.

An event is plain data and can be passed to another process as one line of JSON:

    {"event": "begin", "name": "condor: install packages"}
    {"event": "end",   "name": "condor: install packages", "seconds": 16.2}
    {"event": "line",  "text": "Setting up condor …"}        output of a child process
    {"event": "note",  "text": "…"}  {"event": "warning", "text": "…"}
    {"event": "progress", "name": "image.qcow2", "done": 1048576, "total": 902889472}   bytes, or null
    {"event": "installed", "steps": 7, "rows": […]}          packages; see provisioner/installed.py
    {"event": "log",   "path": "/…/serial.log"}              a log that explains a failure, to be kept

If several images are baked, each event has the label of its image, and each image ends with one of

    {"event": "finished", "label": "osg", "seconds": 61.0, "error": ""}
    {"event": "finished", "label": "osg", "seconds": 9.5, "error": "A package mirror did not respond: …"}
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
    """Receives events."""

    def emit(self, event: Event) -> None: ...


class Silent:
    """Ignores all events."""

    def emit(self, event: Event) -> None:
        return


class JsonLines:
    """Writes one event per line: on stderr for `--json`, on stdout in sandboxes."""

    def __init__(self, out: IO[str] | None = None) -> None:
        self._out = out or sys.stderr

    def emit(self, event: Event) -> None:
        self._out.write(json.dumps(event) + "\n")
        self._out.flush()


def note(monitor: Monitor, text: str) -> None:
    """Emit a sentence for the user."""
    monitor.emit({"event": "note", "text": text})


def warn(monitor: Monitor, text: str) -> None:
    """Emit a warning for the user."""
    monitor.emit({"event": "warning", "text": text})


def line(monitor: Monitor, text: str) -> None:
    """Emit a line of a child process's output."""
    monitor.emit({"event": "line", "text": text})


def progress(monitor: Monitor, name: str, done: int, total: int | None) -> None:
    """Emit the number of bytes of a file that are done, and its size (None if unknown)."""
    monitor.emit({"event": "progress", "name": name, "done": done, "total": total})


def keep_log(monitor: Monitor, path: Path) -> None:
    """Announce a temporary log file; a monitor that keeps logs copies it before this returns."""
    monitor.emit({"event": "log", "path": str(path)})


@contextmanager
def phase(monitor: Monitor, name: str) -> Iterator[None]:
    """Emit `begin` and `end` events around the block; no `end` if the block fails."""
    monitor.emit({"event": "begin", "name": name})
    started = time.monotonic()
    yield
    monitor.emit({"event": "end", "name": name, "seconds": round(time.monotonic() - started, 1)})
