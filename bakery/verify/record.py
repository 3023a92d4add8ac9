"""What was seen for one rung, and how long each took."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bakery.verify.image_tests import Result
from provisioner.events import Monitor, phase, warn


@dataclass
class Record:
    """The checks of one rung, in their order."""

    monitor: Monitor
    checks: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def check(self, what: str, since: float | None = None) -> Iterator[None]:
        """See `what` happen in the block; timed from the block's begin, or `since` (monotonic)."""
        started = time.monotonic() if since is None else since
        with phase(self.monitor, what):
            yield
        self.checks.append({"what": what, "seconds": round(time.monotonic() - started, 1)})

    def count(self, result: Result) -> None:
        """The last check was one of tests: how many there were; skipped ones are told of."""
        for skipped in result.skipped:
            warn(self.monitor, f"A test of the image was skipped: {skipped}")
        self.checks[-1]["what"] += f": {result.passed} passed"

    def proof(self, **more: str) -> dict[str, Any]:
        """As it is kept in the manifest; `more` are names and values, those without a value left out."""
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return {"at": at, "checks": self.checks, **{name: value for name, value in more.items() if value}}
