"""Request a token from a pool by HTCondor's condor_token_request: an administrator approves it.

The Python bindings of HTCondor 25 have no token requests, so HTCondor's tool is required. Its output is
block-buffered on a pipe, so stdbuf makes it print the ID of the request at once. The tool writes the token
to a private file, not to its output.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bakery.runtime import files
from provisioner.errors import BadInput, BakeryError, CommandFailed, MissingHere, Unreachable
from provisioner.process import run

TOOL = "condor_token_request"
_TIMED_OUT = 124  # status of timeout(1)
_ID = re.compile(r"approve request ([0-9A-Za-z]+)")


@dataclass(frozen=True)
class Request:
    """`lifetime` and `timeout` in seconds; `pool` is HOST or HOST:PORT of a collector."""

    pool: str
    identity: str
    scopes: tuple[str, ...]
    lifetime: int
    timeout: int

    def argv(self, output: Path) -> list[str]:
        scopes: Sequence[str] = [word for scope in self.scopes for word in ("-authz", scope)]
        tool = [TOOL, "-pool", self.pool, "-identity", self.identity, *scopes]
        tool += ["-lifetime", str(self.lifetime), "-file", str(output)]
        return ["timeout", str(self.timeout), "stdbuf", "-oL", *tool]

    def approval(self, request_id: str) -> str:
        """Return the command by which an administrator of the pool approves the request."""
        return shlex.join(["condor_token_request_approve", "-pool", self.pool, "-reqid", request_id])


def wait_for_token(wanted: Request, folder: Path, on_id: Callable[[str], None]) -> str:
    """Return the token, when the request has been approved; call `on_id` with the ID to approve.

    `folder` is where a temporary folder can be made. Raises MissingHere: HTCondor is not installed;
    Unreachable: no answer, or no approval in time; BadInput, CommandFailed: the pool refused.
    """
    try:
        run.require(TOOL)
    except MissingHere:
        raise MissingHere(
            f"HTCondor's {TOOL} is not installed here.",
            "Install HTCondor's tools (Debian: condor), or run this command on an access point.",
        ) from None
    with _private_folder(folder) as private:
        output = private / "token"

        def on_line(line: str) -> None:
            if found := _ID.search(line):
                on_id(found[1])

        try:
            run.stream(wanted.argv(output), on_line)
        except CommandFailed as error:
            raise _failed(wanted, error) from None
        return files.read_limited(output, 64 * 1024).decode("ascii", "replace").strip()


@contextmanager
def _private_folder(folder: Path) -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix=".worker-bakery-", dir=folder) as name:
            yield Path(name)
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        raise BadInput(f"Cannot write to the folder {folder}: {error.strerror}.") from None


def _failed(wanted: Request, error: CommandFailed) -> BakeryError:
    if error.status == _TIMED_OUT:
        return Unreachable(
            f"Nobody approved the request at {wanted.pool} within {wanted.timeout} s.",
            "Ask an administrator of the pool, and request again.",
        )
    if "did not provide a valid request ID" in error.tail:
        return BadInput(  # seen with 23.9.6, whose collector sends the token without an ID
            f"{wanted.pool} approved the request at once, by condor_token_request_auto_approve, but"
            f" HTCondor's {TOOL} accepts no such answer.",
            "Request an identity other than condor, which an administrator approves.",
        )
    if re.search(r"DENIED|PERMISSION|not authorized", error.tail):
        return BadInput(
            f"{wanted.pool} does not accept token requests from here:\n{error.tail}\n",
            "Ask an administrator of the pool for a token.",
        )
    if re.search(
        r"Failed to connect|CEDAR:6001|unknown host|Can't find address", error.tail, re.IGNORECASE
    ):
        return Unreachable(f"Cannot reach the collector {wanted.pool}:\n{error.tail}\n", "Check --pool.")
    return error
