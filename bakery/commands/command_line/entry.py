"""How a command starts and ends: signals, errors, exit codes, and what it prints on stderr."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType

from provisioner.errors import BakeryError, DiskFull, Interrupted, to_event
from provisioner.events import JsonLines
from provisioner.process.scrub import scrub

_SHOW_CURSOR = b"\x1b[?25h\n"  # the progress display hides the cursor


def run(body: Callable[[], int], argv: Sequence[str] | None = None) -> int:
    """Call `body` and return its exit code.

    An expected error is printed on stderr, as text or (--json) as an event, and gives the exit code of
    its class. `argv` is the command line without the command; None means that of sys.argv.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        return body()
    except (BakeryError, OSError) as problem:
        error = _of_the_system(problem) if isinstance(problem, OSError) else problem
        sys.stdout.flush()
        # The error may have happened before the options were parsed.
        _report(error, as_json="--json" in (sys.argv[1:] if argv is None else argv))
        return error.exit_code


def _of_the_system(error: OSError) -> BakeryError:
    """The error for a full disk. Any other OSError is a bug of ours and is raised again."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise error
    named = f" ({error.filename})" if error.filename else ""
    return DiskFull(f"The disk is full{named}.", "Free some space, or set WORKER_BAKERY_CACHE.")


def _report(error: BakeryError, *, as_json: bool) -> None:
    if as_json:
        JsonLines().emit({name: scrub(text) for name, text in to_event(error).items()})
    else:
        print(f"error: {scrub(str(error))}", file=sys.stderr)


def warn(text: str, *, as_json: bool) -> None:
    """Print a warning on stderr, for a command that has no monitor."""
    if as_json:
        JsonLines().emit({"event": "warning", "text": scrub(text)})
    else:
        print(f"warning: {scrub(text)}", file=sys.stderr)


def suggest(command: str, purpose: str, *, silent: bool) -> None:
    """Print on stderr the command that usually follows. A shell runs the line as it is printed.

    `silent` is true with --quiet and with --json.
    """
    if not silent:
        print(f"Next: {scrub(command)}  # {purpose}", file=sys.stderr)


def _interrupt(signal_number: int, _frame: FrameType | None) -> None:
    """The first signal ends the work in an orderly way; the second ends the process at once."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_at_once)
    raise Interrupted(signal_number)


def _end_at_once(signal_number: int, _frame: FrameType | None) -> None:
    """Child processes end with this one, and the next command removes the work folder."""
    if os.isatty(2):
        os.write(2, _SHOW_CURSOR)
    os._exit(128 + signal_number)
