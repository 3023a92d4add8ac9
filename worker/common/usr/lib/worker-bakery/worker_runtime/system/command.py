"""Runs a program to its end with a time limit; the caller decides what the exit status means."""

import os
import subprocess
from typing import Mapping, NamedTuple, Optional, Sequence

NOT_COMPLETED = -1  # the status of a program that could not be run or exceeded its time limit


class Completed(NamedTuple):
    """The exit status and the output of a program; NOT_COMPLETED if it did not run to its end."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The first line on stderr, or the reason why the program could not be run.

        HTCondor's tools write a line "ERROR" before it.
        """
        lines = self.err.strip().split("\n")
        return lines[1] if lines[0].strip() == "ERROR" and len(lines) > 1 else lines[0]


def run(
    argv: Sequence[str],
    seconds: float,
    text: str = "",
    env: Optional[Mapping[str, str]] = None,
    merge_stderr: bool = False,
) -> Completed:
    """Run a program and collect its output.

    `text` (ASCII) is its stdin, `env` is added to the environment, `seconds` is the time limit. With
    `merge_stderr`, `out` contains stderr as well, in the order of writing.
    """
    try:
        done = subprocess.run(
            list(argv),
            input=text.encode("ascii"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge_stderr else subprocess.PIPE,
            timeout=seconds,
            env=dict(os.environ, **(env or {})),
        )
    except subprocess.TimeoutExpired:
        return Completed(NOT_COMPLETED, "", "%s did not end within %d s" % (argv[0], seconds))
    except OSError as error:
        return Completed(NOT_COMPLETED, "", "%s: %s" % (argv[0], error.strerror))
    return Completed(done.returncode, _text(done.stdout), _text(done.stderr or b""))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")
