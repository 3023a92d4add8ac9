"""The log folders: one for each bake and verification; only the newest are kept.

    logs/20261122T093011.204117-bake-osg-debian13-2fa7611d6956/
        events.log      all events, with the seconds since the start
        serial.log      further files that explain a failure, for example the serial console

Secrets are removed, and only the owner can read the files. A bake whose image is cached writes no log.
"""

from __future__ import annotations

import datetime
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from bakery.runtime.files import open_private
from bakery.store.store import Store
from provisioner.errors import BakeryError
from provisioner.events import Event, Monitor, line, warn
from provisioner.process.scrub import scrub

MAX_FOLDERS = 20
MAX_BYTES = 16 << 20  # of programs' output in a log; more could fill the disk


class Log:
    """A monitor that records the events it passes on. The first phase creates the folder."""

    def __init__(self, folder: Path, inner: Monitor) -> None:
        self.folder = folder
        self._inner = inner
        self._out: IO[str] | None = None
        self._broken = False
        self._early: list[str] = []
        self._phases: list[str] = []
        self._written = 0
        self._omitted = 0
        self._started = time.monotonic()

    @property
    def where(self) -> str:
        """The innermost phase that has begun and not ended."""
        return self._phases[-1] if self._phases else ""

    @property
    def exists(self) -> bool:
        return self._out is not None

    def emit(self, event: Event) -> None:
        self._track_phase(event)
        self._record(event)
        if event["event"] != "log":
            self._inner.emit(event)

    def close(self, error: BakeryError | None = None) -> None:
        """Close the log; record the error that ended the work, which is not an event."""
        if error and self._out:
            self._record({"event": "error", "text": str(error)})
        with suppress(OSError):
            if self._out:
                self._out.close()

    def _record(self, event: Event) -> None:
        """Write an event; a log that cannot be written causes a warning, not a failure."""
        if self._broken:
            return
        try:
            self._write(event)
        except OSError as error:
            self._broken = True
            warn(self._inner, f"Cannot write the log {self.folder}: {error.strerror}.")

    def _track_phase(self, event: Event) -> None:
        if event["event"] == "begin":
            self._phases.append(event["name"])
        elif event["event"] == "end":
            # Inner phases whose failure was handled have no event "end".
            while self._phases and self._phases.pop() != event["name"]:
                pass

    def _write(self, event: Event) -> None:
        if event["event"] == "begin" and not self._out:
            self._open()
        if event["event"] == "log":
            self._copy(Path(event["path"]))
        elif event["event"] == "line" and self._written > MAX_BYTES:
            self._omitted += 1
        else:
            self._put(event)

    def _open(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True)
        self._out = open_private(self.folder / "events.log")
        self._out.writelines(self._early)

    def _put(self, event: Event) -> None:
        omitted = f"… {self._omitted} lines of output omitted …\n" if self._omitted else ""
        text = f"{omitted}{time.monotonic() - self._started:8.1f}  {scrub(_text(event))}\n"
        self._omitted = 0
        if self._out is None:
            self._early.append(text)
            return
        self._written += self._out.write(text)
        if event["event"] != "line":
            self._out.flush()

    def _copy(self, file: Path) -> None:
        if self._out and file.exists():
            with open_private(self.folder / file.name) as copy:
                copy.write(scrub(file.read_text("utf-8", "replace")))


def _text(event: Event) -> str:
    match event["event"]:
        case "begin":
            return f"{event['name']} …"
        case "end":
            return f"{event['name']}: done in {event['seconds']} s"
        case "line":
            return f"    {event['text']}"
    return f"{event['event']}: {event.get('text', '')}"


@contextmanager
def record(store: Store, name: str, monitor: Monitor) -> Iterator[Log]:
    """Yield a log for the block.

    An error that leaves the block gets the current phase and the log folder as attributes.
    """
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%f")
    log = Log(store.root / "logs" / f"{stamp}-{name}", monitor)
    try:
        yield log
    except BakeryError as error:
        error.where = error.where or log.where
        log.close(error)
        error.log = str(log.folder) if log.exists else ""
        raise
    else:
        if log.exists:
            line(monitor, f"Logs: {log.folder}")
    finally:
        log.close()
        _remove_old(store.root / "logs")


def _remove_old(logs: Path) -> None:
    for old in sorted(logs.glob("*"))[:-MAX_FOLDERS]:
        shutil.rmtree(old, ignore_errors=True)
