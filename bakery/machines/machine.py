"""The interface of every kind of machine: run programs, write files, wait for states."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import ClassVar, TypeVar

from bakery.runtime import conditions
from bakery.runtime.conditions import Condition
from provisioner.errors import NotProven
from provisioner.process.run import Completed

T = TypeVar("T")
ANY_STATUS = range(-64, 255)  # not 255, with which ssh(1) ends when it cannot run the program
# The environment of programs in the machine, for every kind of machine.
ENVIRONMENT = ("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "LC_ALL=C.UTF-8")
# The file appears complete, by a rename; its content is in no argument.
_PUT = 'umask 077; cat >"$1.new"; chmod "$2" "$1.new"; mv "$1.new" "$1"'


@dataclass(frozen=True)
class Machine(ABC):
    """A started machine; the context manager that started it also ends it.

    Time limits are seconds on a machine with KVM, unless the method says otherwise.
    """

    console: Path
    process: Popen[bytes]

    # The status of `process` after the machine powered off, and the meanings of other statuses.
    power_off_status: ClassVar[int]
    status_meanings: ClassVar[dict[int, str]] = {}
    interval: ClassVar[float]  # seconds between two queries

    @property
    def slowdown(self) -> float:
        """The factor by which time limits are multiplied."""
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
        """Run a program in the machine as root. Raises CommandFailed, like provisioner.process.run.call."""

    def succeeds(self, *argv: str) -> bool:
        """Return whether a program ends with status 0."""
        return self.run(argv, expect=ANY_STATUS).status == 0

    def put(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Write a file of root in an existing folder; it appears or changes by one rename."""
        self.run(["sh", "-ec", _PUT, "put", path, f"{mode:o}"], stdin=content)

    def console_text(self) -> str:
        """Return the console log without carriage returns."""
        return self.console.read_text("utf-8", "replace").replace("\r", "")

    def is_on(self) -> bool:
        """Return whether the machine's process runs."""
        return self.process.poll() is None

    def end_reason(self) -> str:
        """Return why waiting for the machine is useless; "" while it runs."""
        return "" if self.is_on() else "The machine has ended."

    def wait(self, condition: Condition[T]) -> T:
        """Wait for a condition, whose limit is not multiplied. Raises NotProven."""
        return conditions.wait(condition, end_reason=self.end_reason, interval=self.interval)

    def wait_until(
        self, description: str, query: Callable[[], T], seconds: float, is_met: Callable[[T], bool] = bool
    ) -> T:
        """Wait for a condition. Raises NotProven; its hint has the last lines of the console."""
        try:
            return self.wait(Condition(description, query, seconds * self.slowdown, is_met))
        except NotProven as error:
            raise NotProven(error.message, f"{error.hint} {self._console_tail()}".strip()) from None

    def output(self, *argv: str) -> str:
        """Return the standard output of a program, whatever its exit status."""
        return self.run(argv, expect=ANY_STATUS).stdout.strip()

    def wait_for_output(
        self, argv: Sequence[str], wanted: str | Callable[[str], bool], seconds: float = 120
    ) -> str:
        """Run a program until it prints `wanted`, or a text that `wanted` accepts; return the text."""
        is_met = wanted if callable(wanted) else lambda output: output == wanted
        return self.wait_until(
            f"the expected output of {' '.join(argv)}", lambda: self.output(*argv), seconds, is_met
        )

    def wait_for_console_text(self, text: str, seconds: float = 120) -> None:
        """Wait until the console log has this text."""
        self.wait_until(f"{text!r} on the console", lambda: text in self.console_text(), seconds)

    def wait_booted(self, seconds: float = 60) -> str:
        """Wait until systemd has finished booting; return `running`, or `degraded` if a unit failed."""
        argv = ["systemctl", "is-system-running"]
        return self.wait_for_output(argv, lambda state: state in ("running", "degraded"), seconds)

    def powers_off_within(self, seconds: float) -> bool:
        """Wait for the machine to power off; return whether it did. The limit is not multiplied."""
        deadline = time.monotonic() + seconds
        while self.is_on() and time.monotonic() < deadline:
            time.sleep(0.1)
        return self.process.poll() == self.power_off_status

    def wait_powered_off(self, seconds: float) -> None:
        """Wait until the machine has powered off. Raises NotProven: it did not, or it rebooted."""
        if not self.powers_off_within(seconds * self.slowdown):
            status = self.process.poll()
            state = f"still runs after {seconds * self.slowdown:g} s"
            if status is not None:
                state = self.status_meanings.get(status, f"ended with status {status}")
            raise NotProven(f"The machine did not power off: it {state}.", self._console_tail())

    def _console_tail(self) -> str:
        return "The last lines of its console:\n" + "\n".join(self.console_text().splitlines()[-15:])
