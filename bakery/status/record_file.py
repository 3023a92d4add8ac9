"""Append to the file of a record, and read it.

Each line is one write under a lock, so several commands may append to one file. A line that was only partly
written, because the process was killed, stays as it is: the next line begins on a line of its own.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bakery.status import record
from bakery.status.record import Entry, NotARecord
from bakery.status.texts import counted, printable
from provisioner import named_file
from provisioner.errors import BadInput, BakeryError, DiskFull

_LONGEST = 64 << 20  # bytes of a line: of a million workers


def append(path: Path, entry: Entry) -> None:
    """Append a line. A new file gets mode 0600.

    Raises BadInput: the file is no record, or that of other workers, or cannot be written; DiskFull.
    """
    with _errors(path), _opened(path) as handle:
        _check(path, handle, entry.of)
        size = os.fstat(handle).st_size
        broken = size and os.pread(handle, 1, size - 1) != b"\n"
        try:
            _write(handle, (b"\n" if broken else b"") + record.line_of(entry))
        except BaseException:
            os.ftruncate(handle, size)  # a full disk, or a signal: no part of a line stays
            raise


def check(path: Path, of: str) -> None:
    """Create the file if it is missing. Raises what `append` raises, before there is anything to append."""
    with _errors(path), _opened(path) as handle:
        _check(path, handle, of)


def read(path: Path) -> tuple[list[Entry], int]:
    """Return the entries in the order of the file, and the number of lines that were only partly written.

    Raises BadInput: the file is no record, or cannot be read.
    """
    with _errors(path), named_file.opened(path) as file:
        found = list(_entries(path, file))
    entries = [one for one in found if one]
    return entries, len(found) - len(entries)


def _entries(path: Path, file: IO[bytes]) -> Iterator[Entry | None]:
    """Yield the entry of each line; None for one that was only partly written. Raises BadInput."""
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), 1):
        try:
            yield record.parse(line)
        except NotARecord as error:
            raise _no_record(path, number, error) from None


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open and lock a file for reading and appending. Raises BadInput, OSError."""
    # O_NONBLOCK: a FIFO must not block the command; regular files do not know it.
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    handle = os.open(path, flags, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise BadInput(f"{path} is not a regular file.", "Choose another path for --record.")
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)


def _check(path: Path, handle: int, of: str) -> None:
    """Raise BadInput if the first whole line belongs to something else."""
    with os.fdopen(os.dup(handle), "rb") as file:
        found = next(filter(None, _entries(path, file)), None)
    if found and found.of != of:
        raise BadInput(
            f"{path} is the record of other workers: {printable(found.of)}",
            "Choose another file for --record.",
        )


def _no_record(path: Path, number: int, error: NotARecord) -> BadInput:
    reason = printable(str(error))
    return BadInput(f"{path} is not a record of status: line {number}: {reason}.", "Choose another file.")


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Turn what the system reports into our errors."""
    try:
        yield
    except OSError as error:
        raise _of_the_system(path, error) from None


def _of_the_system(path: Path, error: OSError) -> BakeryError:
    reason = error.strerror or "unknown system error"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DiskFull(f"Cannot write {path}: {reason}.", "Free some disk space.")
    return BadInput(f"Cannot use {path}: {reason}.")


def torn_text(number: int) -> str:
    """Say that lines were left out, for a warning."""
    were = "was" if number == 1 else "were"
    return f"{counted(number, 'line')} of the record {were} only partly written, and left out."
