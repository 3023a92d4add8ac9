"""Bytes in and out at the ends of a command; nothing half-written, nothing readable by others."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from provisioner.errors import BadInput, BakeryError, DiskFull


def write_private(path: Path, data: bytes) -> None:
    """Write a file that is 0600 from its first byte and appears whole, in one rename, or not."""
    refuse_special(path)
    part = path.parent / f".worker-bakery-{os.urandom(8).hex()}.part"
    try:
        _create(part, data, sync=True)
        part.replace(path)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        if isinstance(error, OSError):
            raise _cannot("write", str(path), error) from None
        raise


def write_new(path: Path, data: bytes) -> None:
    """One of many, 0600 from its first byte; it is not there yet, and nobody looks at it yet."""
    try:
        _create(path, data, sync=False)
    except OSError as error:
        raise _cannot("write", str(path), error) from None


def open_private(path: Path) -> IO[str]:
    """A new text file for its owner only, to be written bit by bit. Raises OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")


def refuse_special(path: Path) -> None:
    """A rename onto /dev/null would replace the device; onto a link, the link."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # not there; or not to be reached, which writing will say
    if not stat.S_ISREG(mode):
        raise BadInput(f"{path} exists and is not a regular file.", "Name another file.")


def make_private_folder(path: Path) -> None:
    """A folder that only its owner can enter; one that is there stays as it is."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot("make the folder", str(path), error) from None


def write_stdout(data: bytes) -> None:
    """The exact bytes, whatever encoding the terminal claims."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        # Python flushes once more at its end; that must not fail a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise _cannot("write to", "standard output", error) from None


def read_limited(path: Path, limit: int) -> bytes:
    """All of a file that is meant to be small."""
    try:
        with path.open("rb") as file:
            return _within(file.read(limit + 1), limit, str(path))
    except OSError as error:
        raise _cannot("read", str(path), error) from None


def read_stdin(limit: int) -> bytes:
    if sys.stdin is None:
        raise BadInput("Standard input is closed.", "Name a file instead of -.")
    return _within(sys.stdin.buffer.read(limit + 1), limit, "standard input")


def is_world_readable(path: Path) -> bool:
    """Of regular files; a pipe such as <(pass token) is nobody else's."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise _cannot("read", str(path), error) from None
    return stat.S_ISREG(mode) and bool(mode & stat.S_IROTH)


def _create(path: Path, data: bytes, *, sync: bool) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, 0o600)  # a umask may have taken even the owner's rights
        file.write(data)
        file.flush()
        if sync:
            os.fsync(handle)


def _within(data: bytes, limit: int, name: str) -> bytes:
    if len(data) > limit:
        raise BadInput(f"{name} holds more than {limit} bytes.", "This is the wrong file.")
    return data


def _cannot(verb: str, name: str, error: OSError) -> BakeryError:
    reason = error.strerror or "an error of the system"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"Cannot {verb} {name}: {reason}.", "Free some space.")
    if error.errno == errno.EPIPE:
        return BakeryError("Whatever read the output went away before its end.")
    return BadInput(f"Cannot {verb} {name}: {reason}.")
