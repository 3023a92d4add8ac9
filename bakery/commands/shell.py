"""What every command shares: the way in, the way out, and the options that mean the same."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from bakery import __version__
from provisioner.errors import BakeryError, DiskFull, Interrupted, to_event
from provisioner.monitor import JsonLines
from provisioner.scrub import scrub

_SHOW_CURSOR = b"\x1b[?25h\n"  # which a live line had hidden


def run(body: Callable[[], int], argv: Sequence[str] | None = None) -> int:
    """Call `body`; an expected error becomes a paragraph on stderr (--json: an event) and its exit code.

    `argv` is the command line without the command, sys.argv's if it is None.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        return body()
    except (BakeryError, OSError) as problem:
        error = _of_the_system(problem) if isinstance(problem, OSError) else problem
        sys.stdout.flush()
        # Looked for here: the parser may not have come to it.
        _tell(error, as_json="--json" in (sys.argv[1:] if argv is None else argv))
        return error.exit_code


def _of_the_system(error: OSError) -> BakeryError:
    """A disk may be full wherever something is written. Any other OSError is our bug and raised."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise error
    named = f" ({error.filename})" if error.filename else ""
    return DiskFull(f"The disk is full{named}.", "Free some space, or set WORKER_BAKERY_CACHE.")


def _tell(error: BakeryError, *, as_json: bool) -> None:
    if as_json:
        JsonLines().tell({name: scrub(text) for name, text in to_event(error).items()})
    else:
        print(f"error: {scrub(str(error))}", file=sys.stderr)


def parser(name: str, description: str) -> argparse.ArgumentParser:
    made = Parser(prog=name, description=description, allow_abbrev=False)
    common(made)
    return made


def common(made: argparse.ArgumentParser) -> None:
    made.add_argument("--version", action="version", version=f"{made.prog} {__version__}")
    made.add_argument("--json", action="store_true", help="result as one JSON object on stdout")
    loudness = made.add_mutually_exclusive_group()
    loudness.add_argument("-v", "--verbose", action="store_true", help="say more on stderr")
    loudness.add_argument("-q", "--quiet", action="store_true", help="say only what is wrong")


class Parser(argparse.ArgumentParser):
    """One whose complaints never repeat a token that was given in the wrong place."""

    def error(self, message: str) -> NoReturn:
        super().error(scrub(message))


def _interrupt(signal_number: int, _frame: FrameType | None) -> None:
    """The first signal ends the work in order; the next one ends the process where it is."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_at_once)
    raise Interrupted(signal_number)


def _end_at_once(signal_number: int, _frame: FrameType | None) -> None:
    """Our children die with us, and the next run sweeps the folder; nothing else is left."""
    if os.isatty(2):
        os.write(2, _SHOW_CURSOR)
    os._exit(128 + signal_number)
