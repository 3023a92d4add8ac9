"""What every kind of machine can be asked and told, so that a test need not know which one it has."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import ClassVar

from provisioner.errors import NotProven
from provisioner.run import Completed

ANY_STATUS = range(-64, 256)
# What programs inside are run with, whoever asks and whatever his own environment is.
ENVIRONMENT = ("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LC_ALL=C.UTF-8")
# Whole from the moment it has its name; the content is in no argument.
_PUT = 'umask 077; cat >"$1.new"; chmod "$2" "$1.new"; mv "$1.new" "$1"'


@dataclass(frozen=True)
class Machine(ABC):
    """A machine that was started; whoever started it ends it. Time limits are those of a fast one."""

    console: Path
    process: Popen[bytes]

    # How the process ends whose machine powers itself off, and what other ends mean.
    powered_off: ClassVar[int]
    other_ends: ClassVar[dict[int, str]] = {}
    pause: ClassVar[float]  # seconds between two looks

    @property
    def slower(self) -> float:
        """How many times longer than a fast machine this one takes for everything."""
        return 1.0

    @abstractmethod
    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        expect: Sequence[int] = (0,),
        seconds: float = 60,
    ) -> Completed:
        """Run a program inside, as root. Raises CommandFailed, like provisioner.run.call."""

    def succeeds(self, *argv: str) -> bool:
        """Does this program end with status 0?"""
        return self.run(argv, expect=ANY_STATUS).status == 0

    def put(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """A file of root's, in a folder that exists; it appears or changes at once."""
        self.run(["sh", "-ec", _PUT, "put", path, f"{mode:o}"], stdin=content)

    def console_text(self) -> str:
        return self.console.read_text("utf-8", "replace").replace("\r", "")

    def is_on(self) -> bool:
        return self.process.poll() is None

    def wait_until(self, what: str, is_so: Callable[[], bool], seconds: float) -> None:
        """Look until it is so. Raises NotProven if it takes longer, or the machine ends."""
        deadline = time.monotonic() + seconds * self.slower
        while not is_so():
            if not self.is_on():
                raise NotProven(f"The machine ended before {what}.", self._last_words())
            if time.monotonic() > deadline:
                raise NotProven(f"Not within {seconds * self.slower:g} s: {what}.", self._last_words())
            time.sleep(self.pause)

    def wait_up(self, seconds: float = 60) -> str:
        """Until systemd has done all it was to do at boot; `running`, or `degraded` if not well."""
        state = ""

        def booted() -> bool:
            nonlocal state
            with suppress(NotProven):  # there is no way in yet
                state = self.run(["systemctl", "is-system-running"], expect=ANY_STATUS).stdout.strip()
            return state in ("running", "degraded")

        self.wait_until("the machine is up", booted, seconds)
        return state

    def goes_off(self, seconds: float) -> bool:
        """Whether the machine powered itself off in time. These seconds are as they are."""
        deadline = time.monotonic() + seconds
        while self.is_on() and time.monotonic() < deadline:
            time.sleep(0.1)
        return self.process.poll() == self.powered_off

    def wait_off(self, seconds: float) -> None:
        """Until the machine has powered itself off. Raises NotProven if it does not, or reboots."""
        if not self.goes_off(seconds * self.slower):
            status = self.process.poll()
            said = f"is still on after {seconds * self.slower:g} s"
            if status is not None:
                said = self.other_ends.get(status, f"ended with status {status}")
            raise NotProven(f"The machine did not power off: it {said}.", self._last_words())

    def _last_words(self) -> str:
        return "Its console's last lines:\n" + "\n".join(self.console_text().splitlines()[-15:])
