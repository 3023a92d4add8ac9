"""Record the checks of a verification level and how long each took."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bakery import __version__
from bakery.verify.image_tests import Result
from bakery.verify.verification import Level
from provisioner.errors import BakeryError, NotProven
from provisioner.events import Monitor, phase, warn


@dataclass
class Record:
    """The checks of one verification level, in order.

    `consoles` are the SHA-256 of the consoles by machine and boot, of a level with several.
    """

    level: Level
    monitor: Monitor
    checks: list[dict[str, Any]] = field(default_factory=list)
    consoles: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def check(self, what: str, since: float | None = None) -> Iterator[None]:
        """Record the check `what` when its block succeeds.

        It is timed from the start of the block, or from `since` (time.monotonic()). An error that leaves
        the block names the level and the check.
        """
        started = time.monotonic() if since is None else since
        try:
            with phase(self.monitor, what):
                yield
        except BakeryError as error:
            error.where = error.where or f"level {self.level}: {what}"
            raise
        self.checks.append({"what": what, "seconds": round(time.monotonic() - started, 1)})

    def together(self, *checks: Callable[[], None]) -> None:
        """Run all checks, even after one has failed. Raises NotProven: its message has every failure."""
        failed: list[NotProven] = []
        for check in checks:
            try:
                check()
            except NotProven as error:
                failed.append(error)
        if failed:
            raise self._joined(failed)

    def _joined(self, failed: Sequence[NotProven]) -> NotProven:
        if len(failed) == 1:
            return failed[0]
        messages = [error.message.rstrip("\n") for error in failed]
        joined = NotProven("\n".join([*messages, ""]), " ".join(filter(None, (one.hint for one in failed))))
        level = f"level {self.level}: "
        joined.where = level + "; ".join(error.where.removeprefix(level) for error in failed)
        return joined

    def add_test_counts(self, result: Result) -> None:
        """Add the number of passed tests to the last check, and warn of each skipped test."""
        for skipped in result.skipped:
            warn(self.monitor, f"Image test skipped: {skipped}")
        self.add(f": {result.passed} passed")

    def add(self, text: str) -> None:
        """Add a text, known only when it succeeded, to the last check."""
        self.checks[-1]["what"] += text

    def proof(self, **attributes: str) -> dict[str, Any]:
        """Return the level's entry in the manifest; attributes with an empty value are left out."""
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return {
            "at": at,
            "version": __version__,
            "checks": self.checks,
            **{name: value for name, value in attributes.items() if value},
            **({"consoles": self.consoles} if self.consoles else {}),
        }
