"""What every kind of machine can be asked and told, so that a test need not know which one it has."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import ClassVar, TypeVar

from bakery.machines import conditions
from bakery.machines.conditions import Condition
from provisioner.errors import NotProven
from provisioner.process.run import Completed

T = TypeVar("T")
ANY_STATUS = range(-64, 255)  # 255 is what ssh(1) ends with when it could not run the program
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
        """Run a program inside, as root. Raises CommandFailed, like provisioner.process.run.call."""

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

    def over(self) -> str:
        """Why nothing can be expected of the machine any more; "" while it is on."""
        return "" if self.is_on() else "The machine ended."

    def wait(self, condition: Condition[T]) -> T:
        """The answer with which the condition holds; its seconds are as they are. Raises NotProven."""
        return conditions.wait(condition, ended=self.over, pause=self.pause)

    def wait_until(
        self, what: str, ask: Callable[[], T], seconds: float, holds: Callable[[T], bool] = bool
    ) -> T:
        """`wait` with the seconds of a fast machine; a failure shows the console's last lines."""
        try:
            return self.wait(Condition(what, ask, seconds * self.slower, holds))
        except NotProven as error:
            raise NotProven(error.message, f"{error.hint} {self._last_words()}".strip()) from None

    def answer(self, *argv: str) -> str:
        """What a program prints, whatever its exit status: a question that may be asked again."""
        return self.run(argv, expect=ANY_STATUS).stdout.strip()

    def wait_answer(
        self, argv: Sequence[str], wanted: str | Callable[[str], bool], seconds: float = 120
    ) -> str:
        """Until the program prints what is wanted, or what `wanted` is true of."""
        holds = wanted if callable(wanted) else lambda said: said == wanted
        return self.wait_until(
            f"the right answer to {' '.join(argv)}", lambda: self.answer(*argv), seconds, holds
        )

    def wait_said(self, text: str, seconds: float = 120) -> None:
        """Until the text is on the console."""
        what = f"{text!r} on the console"
        self.wait_until(what, lambda: text in self.console_text(), seconds)

    def wait_up(self, seconds: float = 60) -> str:
        """Until systemd has done all it was to do at boot; `running`, or `degraded` if not well."""
        argv = ["systemctl", "is-system-running"]
        return self.wait_answer(argv, lambda state: state in ("running", "degraded"), seconds)

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
