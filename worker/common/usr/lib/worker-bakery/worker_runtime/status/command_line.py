"""The command line of `worker-image`, for people and their scripts."""

import argparse
import difflib
from typing import List, NoReturn, Sequence

from worker_runtime.status import status, wait

_DESCRIPTION = """\
Of this worker, made by worker-bakery.

  worker-image status                    in what state it is and why
  worker-image wait --for joined         wait until it is in the pool
"""
_STATUS = """\
In what state the worker is, why, and what happens next.

Root asks the service that looks after the worker's life, which looks at once: what is shown holds
now. Everybody else is shown its last look and the look's age. What is older has its age beside it.

  Pending   the worker's file has changed, or is not there; the other lines hold until it is read
  Problem   what is wrong with the file; it is read again as soon as it changes

Exit status: 0, it is so; 3, the worker's life is not looked after, so this is old, or nothing is known.
"""
_WAIT = """\
Wait until the worker is so far. Anybody may, at any time after boot.

  configured   HTCondor has been told what the worker's file says now
  joined       the pool shows this worker, as it is configured now
  idle         the same, and no slot is claimed
  stopped      the worker's life is over: HTCondor has ended, as was wanted, and is not started again

A mistake in the worker's file does not end the wait, because the file is read again when it is
corrected. A life that is over does, and a file that nobody reads any more.

Exit status: 0, it is so; 1, it is not: stderr says why; 2, wrong usage.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, "%s: %s\n%s" % (self.prog, message, self.format_usage()))


def main(arguments: Sequence[str]) -> int:
    """The exit status. Raises SystemExit for wrong usage, and for --help."""
    given = parse(arguments)
    try:
        if given.command == "status":
            return status.main(given.json)
        return wait.main(given.state, given.timeout)
    except KeyboardInterrupt:
        return 130


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _parser("worker-image", _DESCRIPTION)
    # Not by argparse's own subparsers: a mistake there is answered with a list, but no guess.
    parser.add_argument("command", metavar="status|wait", type=_Choice(["status", "wait"]))
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    first = parser.parse_args(list(arguments))
    return _parse_status(first.arguments) if first.command == "status" else _parse_wait(first.arguments)


def _parse_status(arguments: List[str]) -> argparse.Namespace:
    parser = _parser("worker-image status", _STATUS)
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    return parser.parse_args(arguments, argparse.Namespace(command="status"))


def _parse_wait(arguments: List[str]) -> argparse.Namespace:
    parser = _parser("worker-image wait", _WAIT)
    parser.add_argument(
        "--for", dest="state", required=True, type=_Choice(wait.STATES), metavar="STATE",
        help=", ".join(wait.STATES),
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=_duration, default=wait.TIMEOUT, metavar="TIME",
        help="give up after so long: 90 (seconds), 90s, 10m or 2h; by default %s" % wait.TIMEOUT,
    )  # fmt: skip
    return parser.parse_args(arguments, argparse.Namespace(command="wait"))


def _parser(name: str, text: str) -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    return _Parser(prog=name, description=text, formatter_class=plain)


class _Choice:
    """A type of argparse's: one of these words, or a guess which was meant."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words

    def __call__(self, given: str) -> str:
        if given in self._words:
            return given
        near = difflib.get_close_matches(given, self._words, 1, 0.5)
        guess = "; did you mean %s?" % near[0] if near else ""
        raise argparse.ArgumentTypeError("%r is not one of: %s%s" % (given, ", ".join(self._words), guess))


def _duration(given: str) -> float:
    found = wait.parse_duration(given)
    if found is None:
        raise argparse.ArgumentTypeError("%r is not a time such as 90, 90s, 10m or 2h" % given)
    return found
