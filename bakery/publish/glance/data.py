"""The data of an upload, read by requests, with progress."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from provisioner.events import Monitor, progress

_EVERY = 0.5  # seconds between two events


@dataclass
class Data:
    """A file, as far as requests needs it: its length, and `read`."""

    file: IO[bytes]
    name: str
    size: int
    monitor: Monitor
    _reported: float = 0.0

    @classmethod
    @contextmanager
    def opened(cls, path: Path, monitor: Monitor) -> Iterator[Data]:
        with path.open("rb") as file:
            yield cls(file, path.name, path.stat().st_size, monitor)

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[bytes]:
        """requests takes what has no iterator for a form."""
        while chunk := self.read(1 << 20):
            yield chunk

    def read(self, count: int = -1) -> bytes:
        chunk = self.file.read(count)
        if not chunk or time.monotonic() - self._reported > _EVERY:
            self._reported = time.monotonic()
            progress(self.monitor, self.name, self.file.tell(), self.size)
        return chunk

    def tell(self) -> int:
        return self.file.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        """For another attempt after a new token."""
        return self.file.seek(offset, whence)
