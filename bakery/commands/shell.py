"""What every command shares: the way in, the way out, and the options that mean the same."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from types import FrameType
from typing import Any, NoReturn

from bakery import __version__
from provisioner import did_you_mean
from provisioner.errors import BakeryError, DiskFull, Interrupted, to_event
from provisioner.events import JsonLines
from provisioner.process.scrub import scrub

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
        JsonLines().emit({name: scrub(text) for name, text in to_event(error).items()})
    else:
        print(f"error: {scrub(str(error))}", file=sys.stderr)


def warn(text: str, *, as_json: bool) -> None:
    """What a command says on stderr that has no monitor."""
    if as_json:
        JsonLines().emit({"event": "warning", "text": scrub(text)})
    else:
        print(f"warning: {scrub(text)}", file=sys.stderr)


def parser(name: str, description: str) -> Parser:
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
    """One that says what a word may have meant, and never repeats a token given in the wrong place.

    `verbs` are words that may come first instead of options, and are not for this parser.
    """

    verbs: Sequence[str] = ()
    _given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._given = tuple(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        super().error(scrub(_with(message, *self._questions())))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            question = did_you_mean.did_you_mean(str(value), map(str, action.choices or ()))
            error.message = _with(error.message, question)
            raise

    def _questions(self) -> Iterator[str]:
        """What is no option of this parser, or of one of its verbs, is spelled wrong, whatever else is."""
        flags = set(flags_of(self))
        for word in takewhile(lambda word: word != "--", self._given):
            flag = word.partition("=")[0]
            if flag.startswith("--") and flag not in flags:
                yield did_you_mean.did_you_mean(flag, flags)
        if self.verbs and self._given and not self._given[0].startswith("-"):
            yield did_you_mean.did_you_mean(self._given[0], self.verbs)


def _with(message: str, *questions: str) -> str:
    asked = " ".join(filter(None, questions))
    return f"{message.rstrip('.')}. {asked}" if asked else message


def flags_of(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The long options of a parser, and those of its verbs."""
    for action in parser._actions:
        yield from (flag for flag in action.option_strings if flag.startswith("--"))
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from flags_of(verb)


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
