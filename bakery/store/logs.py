"""The kept logs: a folder for each bake and verification, the newest few of them.

    logs/20261122T093011.204117-bake-osg-debian13-2fa7611d6956/
        events.log      all that was told, with the seconds since the start
        serial.log      … and what explains a failure, a machine's serial console for one

All of it is scrubbed and for its owner only. What finds everything in the store leaves no folder.
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

KEPT = 20  # folders
LONGEST = 16 << 20  # bytes of programs' output in a log; what more there is leaves a full disk


class Log:
    """A monitor that writes down what it passes on. The folder appears with the first phase."""

    def __init__(self, folder: Path, inner: Monitor) -> None:
        self.folder = folder
        self._inner = inner
        self._out: IO[str] | None = None
        self._broken = False
        self._early: list[str] = []
        self._phases: list[str] = []
        self._written = 0
        self._left_out = 0
        self._started = time.monotonic()

    @property
    def where(self) -> str:
        """The innermost phase that has begun and not ended."""
        return self._phases[-1] if self._phases else ""

    @property
    def exists(self) -> bool:
        return self._out is not None

    def emit(self, event: Event) -> None:
        self._follow(event)
        self._record(event)
        if event["event"] != "log":
            self._inner.emit(event)

    def close(self, error: BakeryError | None = None) -> None:
        """With the error that ended the work, which whoever watches is told in another way."""
        if error and self._out:
            self._record({"event": "error", "text": str(error)})
        with suppress(OSError):
            if self._out:
                self._out.close()

    def _record(self, event: Event) -> None:
        """A log that cannot be written is no reason to fail."""
        if self._broken:
            return
        try:
            self._write(event)
        except OSError as error:
            self._broken = True
            warn(self._inner, f"The log in {self.folder} cannot be written: {error.strerror}.")

    def _follow(self, event: Event) -> None:
        if event["event"] == "begin":
            self._phases.append(event["name"])
        elif event["event"] == "end":
            # Phases within it that failed, and whose failure was dealt with, have no end.
            while self._phases and self._phases.pop() != event["name"]:
                pass

    def _write(self, event: Event) -> None:
        if event["event"] == "begin" and not self._out:
            self._open()
        if event["event"] == "log":
            self._keep(Path(event["path"]))
        elif event["event"] == "line" and self._written > LONGEST:
            self._left_out += 1
        else:
            self._put(event)

    def _open(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True)
        self._out = open_private(self.folder / "events.log")
        self._out.writelines(self._early)

    def _put(self, event: Event) -> None:
        left_out = f"… {self._left_out} lines of output left out …\n" if self._left_out else ""
        text = f"{left_out}{time.monotonic() - self._started:8.1f}  {scrub(_text(event))}\n"
        self._left_out = 0
        if self._out is None:
            self._early.append(text)
            return
        self._written += self._out.write(text)
        if event["event"] != "line":
            self._out.flush()

    def _keep(self, file: Path) -> None:
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
def kept(store: Store, name: str, monitor: Monitor) -> Iterator[Log]:
    """A log of the block. An error that leaves it says where it happened and where the log is."""
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
    for old in sorted(logs.glob("*"))[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
