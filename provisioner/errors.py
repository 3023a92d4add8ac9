"""One exception class and one exit code per cause; `message` says what happened, `hint` what to do.

    BakeryError                1  the operation failed
    ├── CommandFailed          1  a program failed
    ├── BadInput               2  an option, a file or a value is invalid
    ├── MissingHere            3  this machine lacks a tool, a privilege or a device
    ├── NotProven              4  the image was built, but its verification failed
    ├── Unreachable            5  a mirror, a base, a pool or a machine did not respond
    ├── DiskFull               6  no space is left on a disk
    ├── WrongChecksum          7  a download does not match its digest or signature
    ├── Different              8  two images differ
    ├── Outdated              10  an image has packages with updates
    ├── Vulnerable            11  an image has packages with known vulnerabilities
    ├── Refused               12  a service does not accept the credentials or permit the operation
    └── Interrupted          130  SIGINT (143: SIGTERM)

The commands print an error as one paragraph on stderr and exit with its code. The reference of exit codes
shows the docstrings of these classes.
"""

from __future__ import annotations

from collections.abc import Iterable


class BakeryError(Exception):
    """The operation failed for a reason that has no exit code of its own.

    This is the base class of all errors that a user may see: a traceback is always a bug. `where` is the
    step or phase, `log` the folder of the logs; callers that know them set them while the error propagates.
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
        text = f"{self.message}{between}{self.hint}".strip()
        where = [f"Where: {self.where}"] if self.where else []
        log = [f"Logs: {self.log}"] if self.log else []
        return "\n".join([text, *where, *log])


class BadInput(BakeryError):
    """An option, a file or a value is invalid, or does not apply to the other options."""

    exit_code = 2


class MissingHere(BakeryError):
    """This machine lacks a program, a privilege or a device that the operation requires."""

    exit_code = 3


class NotProven(BakeryError):
    """The image exists, but it failed a check of the requested verification level."""

    exit_code = 4


class Unreachable(BakeryError):
    """A mirror, a download server, a pool or a machine did not respond, or refused the connection."""

    exit_code = 5


class DiskFull(BakeryError):
    """No space is left on a disk of this machine, of the image, of the remote machine or in a quota."""

    exit_code = 6


class WrongChecksum(BakeryError):
    """A downloaded base or package does not match its digest, or its signature is not trusted."""

    exit_code = 7


class Different(BakeryError):
    """The two compared images have different contents."""

    exit_code = 8


class Outdated(BakeryError):
    """An image contains packages for which its repositories have updates."""

    exit_code = 10


class Vulnerable(BakeryError):
    """An image contains packages with known vulnerabilities."""

    exit_code = 11


class Refused(BakeryError):
    """A cloud or a registry refuses credentials or an operation, or an image lacks a required signature."""

    exit_code = 12


class Interrupted(BakeryError):
    """The command received SIGINT (exit code 130) or SIGTERM (exit code 143)."""

    def __init__(self, signal_number: int) -> None:
        super().__init__("Interrupted.")
        self.exit_code = 128 + signal_number


class CommandFailed(BakeryError):
    """A program that the command ran exited with an error; the message shows its last lines of output.

    `tail` holds these lines, with secrets removed; a negative `status` is the number of a signal.
    """

    def __init__(self, command: str, status: int, tail: str, hint: str = "") -> None:
        how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
        last = f" Its last lines:\n{tail}\n" if tail else ""
        super().__init__(f"`{command}` {how}.{last}", hint)
        self.command = command
        self.status = status
        self.tail = tail


# The exit codes of several results, the worst first: an unforeseen cause, a damaged or forged file,
# an image that fails its proof, input to correct, this machine, what another attempt may solve.
SEVERITY = (1, 7, 4, 2, 3, 12, 6, 5)


def worst(codes: Iterable[int]) -> int:
    """The worst of several exit codes, in the order of SEVERITY, then all others; 0 if all are 0."""

    def rank(code: int) -> tuple[int, int]:
        return SEVERITY.index(code) if code in SEVERITY else len(SEVERITY), code

    return min(filter(None, codes), key=rank, default=0)


def to_event(error: BakeryError) -> dict[str, str]:
    """Encode an error as an event, to pass it to another process."""
    return {
        "event": "error",
        "class": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "where": error.where,
        "log": error.log,
    }


def from_event(event: dict[str, str]) -> BakeryError:
    """Decode an error from an event. A CommandFailed becomes a BakeryError: its message is complete."""
    error = _KINDS.get(event["class"], BakeryError)(event["message"], event["hint"])
    error.where, error.log = event["where"], event["log"]
    return error


_KINDS: dict[str, type[BakeryError]] = {
    kind.__name__: kind
    for kind in (
        *(BadInput, MissingHere, NotProven, Unreachable, DiskFull, WrongChecksum, Different, Outdated),
        *(Vulnerable, Refused),
    )
}
