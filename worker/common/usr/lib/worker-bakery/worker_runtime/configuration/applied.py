"""Is what HTCondor was told what the worker's file says now?

`worker configure` leaves in TAKEN which content of the file it took up last, and what was wrong with it; a
look compares that with the file. So what is known of the worker never passes for that of a file which
nobody has read yet.
"""

import hashlib
import json
import os
from typing import NamedTuple, Optional, Sequence, Tuple

from worker_runtime.configuration import worker_file
from worker_runtime.configuration.kind import Kind
from worker_runtime.system import files, paths

# Root's alone: the content behind the digest may be as good as known but for a token.
RECORD = paths.RUN + "/taken.json"


class Fingerprint(NamedTuple):
    """Of the worker's file and of the token file that it names; "" where there is none."""

    file: str = ""
    token: str = ""


class Applied(NamedTuple):
    """What was taken up last; `times` tells two of one content apart."""

    content: Fingerprint
    problems: Tuple[str, ...]
    times: int = 0


class FileStatus(NamedTuple):
    now: Fingerprint
    applied: Optional[Applied]  # None: nothing yet

    @property
    def current(self) -> bool:
        return self.applied is not None and self.applied.content == self.now

    @property
    def problems(self) -> Tuple[str, ...]:
        """What is wrong with the content of now, so far as that is known."""
        return self.applied.problems if self.applied and self.current else ()

    @property
    def only_token_changed(self) -> bool:
        """Has nothing but the token file changed? (The path unit follows only the worker's own.)"""
        return self.applied is not None and not self.current and self.applied.content.file == self.now.file


def fingerprint(kind: Kind, raw: bytes) -> Fingerprint:
    """To be taken before what it stands for is read, so that no change is missed."""
    if not raw.strip():
        return Fingerprint()
    return Fingerprint(hashlib.sha256(raw).hexdigest(), _stamp(token_file(kind, raw)))


def token_file(kind: Kind, raw: bytes) -> str:
    """The worker's own file may name another that holds the token. (It is not among the settings.)"""
    return worker_file.parse(raw, kind.keys, kind.form).values.get("TokenFile", "")


def _stamp(path: str) -> str:
    """What changes with a file's content, without reading it."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return "%d %d %d" % (status.st_ino, status.st_size, status.st_mtime_ns)


def file_status(kind: Kind) -> FileStatus:
    try:
        with open(kind.file, "rb") as file:
            raw = file.read()
    except OSError:
        raw = b""
    return FileStatus(fingerprint(kind, raw), load())


def load() -> Optional[Applied]:
    try:
        with open(RECORD, encoding="ascii") as file:
            found = json.load(file)
        return Applied(Fingerprint(*found["content"]), tuple(found["problems"]), found["times"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def record(content: Fingerprint, problems: Sequence[str]) -> None:
    """From now on this is what was taken up last."""
    before = load()
    os.makedirs(paths.RUN, 0o755, exist_ok=True)
    now = {"content": content, "problems": list(problems), "times": before.times + 1 if before else 1}
    files.put(RECORD, json.dumps(now, sort_keys=True).encode("ascii"), 0o600)


def pending(kind: Kind, found: FileStatus, reader: str) -> str:
    """What is waited for, in words; "" for nothing. `reader`: who reads the file, and when."""
    if found.now == Fingerprint():
        return "waiting for %s, which says whose jobs to run" % kind.file
    if found.current:
        return ""
    if found.applied is None or found.applied.content == Fingerprint():
        return "%s is there, and %s" % (kind.file, reader)
    what = "the token file that %s names" % kind.file if found.only_token_changed else kind.file
    return "%s has changed, and %s" % (what, reader)


def reader_state(service: str, path: str, boots: bool) -> str:
    """Who reads a changed file, by the ActiveState of both units. Pure."""
    if service in ("activating", "active", "reloading"):
        return BEING_READ
    if path == "active":
        return "is to be read"
    return "is to be read once the machine is up" if boots else NOT_READ


BEING_READ, NOT_READ = "is being read", "nobody reads it: its path unit is not active"
