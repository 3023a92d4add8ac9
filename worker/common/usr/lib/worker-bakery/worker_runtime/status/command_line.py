"""The command line of `worker-image`, for people and their scripts."""

import argparse
import difflib
from typing import List, NoReturn, Sequence

from worker_runtime.status import status, wait

_DESCRIPTION = """\
Shows the state of this worker, or waits for a state.

  worker-image status                    show the state and the reason for it
  worker-image wait --for joined         wait until the worker is in the pool
"""
_STATUS = """\
Shows the state of the worker, the reason for it, and what happens next.

For root, worker-life.service inspects the worker at once, so the output is current. Everybody else
sees the last inspection and its age. Information that is older is shown with its age.

  Pending   the worker's file has changed or is missing; the other lines apply until it is read
  Problem   what is wrong with the file; it is read again when it changes

Exit status: 0, success; 3, worker-life.service does not run, so the output is old or there is none.
"""
_WAIT = """\
Waits until the worker reaches a state. Every user may run it, at any time after boot.

  configured   HTCondor has the current configuration of the worker's file
  joined       the pool shows this worker with its current configuration
  idle         joined, and no slot is claimed
  stopped      HTCondor has exited as intended and is not started again

A mistake in the worker's file does not end the wait, because the file is read again when it is
corrected. The wait ends with a failure when the worker has stopped, or when its file is not read any more.

Exit status: 0, the state is reached; 1, it is not, and stderr says why; 2, wrong usage.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, "%s: %s\n%s" % (self.prog, message, self.format_usage()))


def main(arguments: Sequence[str]) -> int:
    """The exit status. Raises SystemExit for wrong usage and for --help."""
    given = parse(arguments)
    try:
        if given.command == "status":
            return status.main(given.json)
        return wait.main(given.state, given.timeout)
    except KeyboardInterrupt:
        return 130


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The parsed command line: `command`, and `json` or `state` and `timeout`."""
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
    """A type of argparse: one of these words; an error suggests the nearest one."""

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
