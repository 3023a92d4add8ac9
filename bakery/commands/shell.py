"""What every command shares: the way in, the way out, and the options that mean the same."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from bakery import __version__
from provisioner.errors import BakeryError, Interrupted, to_event
from provisioner.monitor import JsonLines
from provisioner.scrub import scrub


def run(body: Callable[[], int], argv: Sequence[str] | None = None) -> int:
    """Call `body`; an expected error becomes a paragraph on stderr (--json: an event) and its exit code.

    `argv` is the command line without the command, sys.argv's if it is None.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        return body()
    except BakeryError as error:
        sys.stdout.flush()
        # Looked for here: the parser may not have come to it.
        _tell(error, as_json="--json" in (sys.argv[1:] if argv is None else argv))
        return error.exit_code


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
    raise Interrupted(signal_number)
