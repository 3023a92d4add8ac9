"""How a command starts and ends: signals, errors, exit codes, and what it prints on stderr."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType

from provisioner.errors import BadInput, BakeryError, DiskFull, Interrupted, MissingHere, to_event
from provisioner.events import JsonLines
from provisioner.process.scrub import scrub

_SHOW_CURSOR = b"\x1b[?25h\n"  # the progress display hides the cursor


# What a user can mend: permissions, and paths that cannot exist.
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_FULL = (errno.ENOSPC, errno.EDQUOT)
# What a write to a pipe and to a terminal reports if nobody reads it, and the exit code in a shell of a
# program that the signal for this ended.
_NO_READER = {errno.EPIPE: 128 + signal.SIGPIPE, errno.EIO: 128 + signal.SIGHUP}


def run(body: Callable[[], int], argv: Sequence[str] | None = None) -> int:
    """Call `body` and return its exit code.

    An expected error is printed on stderr, as text or (--json) as an event, and gives the exit code of
    its class. If the reader of standard output has gone, as with `| head`, nothing is printed. `argv` is
    the command line without the command; None means that of sys.argv.
    """
    sys.excepthook = _print_scrubbed
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        _require_stdout()
        _escape_what_stdout_cannot_encode()
        code = body()
        sys.stdout.flush()
        return code
    except (BakeryError, OSError) as problem:
        if isinstance(problem, OSError) and problem.errno in _NO_READER and reader_is_gone():
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for the flush when the interpreter ends
            return _NO_READER[problem.errno]
        error = _of_the_system(problem) if isinstance(problem, OSError) else problem
        # The error may have happened before the options were parsed.
        _report(error, as_json="--json" in (sys.argv[1:] if argv is None else argv))
        return error.exit_code


def _require_stdout() -> None:
    """Raise BadInput if standard output is closed (`>&-`): the result would be lost."""
    if sys.stdout is None:
        raise BadInput("Standard output is closed.", "Redirect it to a file or to /dev/null.")


def _escape_what_stdout_cannot_encode() -> None:
    """Print `\\xe9` for é if the locale's encoding does not have it, as Python does on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def reader_is_gone() -> bool:
    """Return whether standard output is a pipe that nobody reads, or a terminal that was closed.

    Of a BrokenPipeError another pipe or socket may be the cause.
    """
    import select

    waiting = select.poll()
    waiting.register(1, 0)
    return bool(waiting.poll(0))


def _discard_stdout() -> None:
    """Discard what standard output does not take; the interpreter would try again when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _of_the_system(error: OSError) -> BakeryError:
    """The error for a full disk, missing permissions or an impossible path; others are raised again."""
    named = str(error.filename or "")
    if error.errno in _FULL:
        _discard_stdout()
        if not named:  # as a write has none
            where = "where the output goes, in WORKER_BAKERY_CACHE or in TMPDIR"
            return DiskFull("No space is left on a disk.", f"Free some space {where}.")
        return DiskFull(f"The disk is full ({named}).", "Free some space, or set WORKER_BAKERY_CACHE.")
    if error.errno not in _REFUSED or not named:
        raise error
    return _refused(Path.cwd() / named, error.strerror or "refused")


def _refused(path: Path, reason: str) -> BakeryError:
    from bakery.store.store import default_root

    if path.is_relative_to(default_root()):
        hint = "Set WORKER_BAKERY_CACHE to a folder that you can write to."
        return MissingHere(f"Cannot use the cache, {path}: {reason}.", hint)
    return BadInput(f"Cannot use {path}: {reason}.")


def _print_scrubbed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of a bug. A message in it may quote what the user typed, as a token."""
    import traceback  # takes longer than a whole --help

    print(scrub("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end="")


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


def interrupt_at_hangup() -> None:
    """Let SIGHUP, which a terminal sends when it is closed, interrupt the command; not under nohup."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _interrupt)


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
