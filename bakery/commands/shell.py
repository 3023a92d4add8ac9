"""What every command shares: the way in, the way out, and the options that mean the same."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from bakery import __version__
from provisioner.errors import BakeryError, Interrupted
from provisioner.scrub import scrub


def run(body: Callable[[], int]) -> int:
    """Call `body`; an expected error becomes one paragraph on stderr and its exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    try:
        return body()
    except BakeryError as error:
        sys.stdout.flush()
        print(f"error: {scrub(str(error))}", file=sys.stderr)
        return error.exit_code


def parser(name: str, description: str) -> argparse.ArgumentParser:
    made = _Parser(prog=name, description=description, allow_abbrev=False)
    made.add_argument("--version", action="version", version=f"{name} {__version__}")
    made.add_argument("--json", action="store_true", help="result as one JSON object on stdout")
    loudness = made.add_mutually_exclusive_group()
    loudness.add_argument("-v", "--verbose", action="store_true", help="say more on stderr")
    loudness.add_argument("-q", "--quiet", action="store_true", help="say only what is wrong")
    return made


class _Parser(argparse.ArgumentParser):
    """One whose complaints never repeat a token that was given in the wrong place."""

    def error(self, message: str) -> NoReturn:
        super().error(scrub(message))


def _interrupt(signal_number: int, _frame: FrameType | None) -> None:
    raise Interrupted(signal_number)
