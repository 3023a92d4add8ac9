"""A program, run to its end within a time limit. Whoever asks decides what its status means."""

import os
import subprocess
from typing import Mapping, NamedTuple, Optional, Sequence

NOT_COMPLETED = -1  # the status of what could not be run, or did not end in time


class Completed(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The first line that it said on stderr; of what could not be run, why."""
        return self.err.strip().split("\n")[0]


def run(
    argv: Sequence[str],
    seconds: float,
    text: str = "",
    env: Optional[Mapping[str, str]] = None,
    merge_stderr: bool = False,
) -> Completed:
    """What became of it: given `text` on stdin (ASCII), with `env` added to the environment.

    `together`: what it says on stderr comes in `out` as well, in the order in which it was said.
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
