"""One class and one exit code per cause; a message says what happened, a hint what to do.

    BakeryError                1  the work failed
    ├── CommandFailed          1  a program ended with an error
    ├── BadInput               2  an option, a file or a value that cannot be used
    ├── MissingHere            3  this machine lacks a tool, a right or a device
    ├── NotProven              4  the image was built, but its verification failed
    ├── Unreachable            5  a mirror, a base, a pool or a machine did not answer
    ├── DiskFull               6  no space left where the work is done
    ├── WrongChecksum          7  a base, or a package, is not what its digest, or signature, says
    ├── Different              8  two images do not hold the same
    └── Interrupted          130  SIGINT (143: SIGTERM)

The commands turn an error into one paragraph on stderr and its code; the table in the
README is tested against this file.
"""

from __future__ import annotations


class BakeryError(Exception):
    """Base of everything a user may see; a traceback of anything else is our bug.

    `where` is the step or phase it happened in and `log` the folder of the kept logs; whoever knows
    them adds them on the error's way up.
    """

    exit_code = 1
    where = ""
    log = ""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        between = "" if self.message.endswith("\n") else " "
        said = f"{self.message}{between}{self.hint}".strip()
        where = [f"Where: {self.where}"] if self.where else []
        log = [f"Logs: {self.log}"] if self.log else []
        return "\n".join([said, *where, *log])


class BadInput(BakeryError):
    exit_code = 2


class MissingHere(BakeryError):
    exit_code = 3


class NotProven(BakeryError):
    exit_code = 4


class Unreachable(BakeryError):
    exit_code = 5


class DiskFull(BakeryError):
    exit_code = 6


class WrongChecksum(BakeryError):
    exit_code = 7


class Different(BakeryError):
    exit_code = 8


class Interrupted(BakeryError):
    def __init__(self, signal_number: int) -> None:
        super().__init__("Interrupted.")
        self.exit_code = 128 + signal_number


class CommandFailed(BakeryError):
    """A program ended with a non-zero status; `tail` holds its last lines, scrubbed."""

    def __init__(self, command: str, status: int, tail: str, hint: str = "") -> None:
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        last = f" Its last lines:\n{tail}\n" if tail else ""
        super().__init__(f"`{command}` {how}.{last}", hint)
        self.command = command
        self.status = status
        self.tail = tail


def to_event(error: BakeryError) -> dict[str, str]:
    """The error as an event, to cross a process boundary."""
    return {
        "event": "error",
        "class": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "where": error.where,
        "log": error.log,
    }


def from_event(event: dict[str, str]) -> BakeryError:
    """The same cause again on the other side; a CommandFailed as its base, its text is whole already."""
    error = _KINDS.get(event["class"], BakeryError)(event["message"], event["hint"])
    error.where, error.log = event["where"], event["log"]
    return error


_KINDS: dict[str, type[BakeryError]] = {
    kind.__name__: kind
    for kind in (BadInput, MissingHere, NotProven, Unreachable, DiskFull, WrongChecksum, Different)
}
