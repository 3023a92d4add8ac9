"""Tells whether HTCondor has been given what the worker's file says now.

`worker configure` records in RECORD which content of the file it applied last and what was wrong with it.
An inspection compares the record with the file, so that the state never describes a file that has not been
read.
"""

import hashlib
import json
import os
from typing import NamedTuple, Optional, Sequence, Tuple

from worker_runtime.configuration import worker_file
from worker_runtime.configuration.kind import Kind
from worker_runtime.system import files, paths

# Readable by root only: with the rest of the file known, a digest would allow a token to be guessed.
RECORD = paths.RUN + "/applied.json"


class Fingerprint(NamedTuple):
    """Digests of the worker's file and of the token file that it names; "": no such file."""

    file: str = ""
    token: str = ""


class Applied(NamedTuple):
    """What was applied last; `times` distinguishes two applications of the same content."""

    content: Fingerprint
    problems: Tuple[str, ...]
    times: int = 0


class FileStatus(NamedTuple):
    """The current content of the files, and what was applied last."""

    now: Fingerprint
    applied: Optional[Applied]  # None: nothing was applied yet
    renewable: bool = False  # whether TokenCommand can print another token

    @property
    def current(self) -> bool:
        return self.applied is not None and self.applied.content == self.now

    @property
    def problems(self) -> Tuple[str, ...]:
        """What is wrong with the current content, as far as that is known."""
        return self.applied.problems if self.applied and self.current else ()

    @property
    def only_token_changed(self) -> bool:
        """Whether only the token file has changed. (The path unit watches only the worker's file.)"""
        return self.applied is not None and not self.current and self.applied.content.file == self.now.file


def fingerprint(kind: Kind, raw: bytes) -> Fingerprint:
    """The fingerprint of the content `raw`.

    Take it before the content is used, so that no change is missed.
    """
    if not raw.strip():
        return Fingerprint()
    return Fingerprint(hashlib.sha256(raw).hexdigest(), _stamp(token_file(kind, raw)))


def token_file(kind: Kind, raw: bytes) -> str:
    """The token file that the worker's file names; it is not among the published settings."""
    return worker_file.parse(raw, kind.keys, kind.form).values.get("TokenFile", "")


def has_token_command(kind: Kind, raw: bytes) -> bool:
    """Whether a program prints the token."""
    return bool(worker_file.parse(raw, kind.keys, kind.form).values.get("TokenCommand"))


def _stamp(path: str) -> str:
    """A text that changes with the content of a file, without reading the file."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return "%d %d %d" % (status.st_ino, status.st_size, status.st_mtime_ns)


def file_status(kind: Kind) -> FileStatus:
    """The status of the worker's file now."""
    try:
        with open(kind.file, "rb") as file:
            raw = file.read()
    except OSError:
        raw = b""
    return FileStatus(fingerprint(kind, raw), load(), has_token_command(kind, raw))


def load() -> Optional[Applied]:
    """The record of what was applied last; None if there is none."""
    try:
        with open(RECORD, encoding="ascii") as file:
            found = json.load(file)
        return Applied(Fingerprint(*found["content"]), tuple(found["problems"]), found["times"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def record(content: Fingerprint, problems: Sequence[str]) -> None:
    """Record what was applied."""
    before = load()
    os.makedirs(paths.RUN, 0o755, exist_ok=True)
    now = {"content": content, "problems": list(problems), "times": before.times + 1 if before else 1}
    files.put(RECORD, json.dumps(now, sort_keys=True).encode("ascii"), 0o600)


def pending(kind: Kind, found: FileStatus, reader: str) -> str:
    """What the worker waits for, in words; "" if nothing.

    `reader` says who reads a changed file, and when: see reader_state().
    """
    if found.now == Fingerprint():
        return "waiting for %s (missing or empty)" % kind.file
    if found.current:
        return ""
    if found.applied is None or found.applied.content == Fingerprint():
        return "%s exists and %s" % (kind.file, reader)
    what = "the token file that %s names" % kind.file if found.only_token_changed else kind.file
    return "%s has changed and %s" % (what, reader)


def reader_state(service: str, path: str, boots: bool) -> str:
    """Who reads a changed file, by the ActiveState of the service and of the path unit. Pure."""
    if service in ("activating", "active", "reloading"):
        return BEING_READ
    if path == "active":
        return "will be read"
    return "will be read when the machine has booted" if boots else NOT_READ


BEING_READ, NOT_READ = "is being read", "will not be read: its path unit is not active"
