"""Read the inputs and write the outputs of a command: atomically, and readable by the owner only."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

from provisioner import named_file
from provisioner.errors import BadInput, BakeryError, DiskFull


def write_private(path: Path, data: bytes) -> None:
    """Write a file with mode 0600 atomically: to a temporary file, which is then renamed.

    Raises BadInput when the file cannot be written, DiskFull.
    """
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
    """Write a file that must not exist, with mode 0600.

    For a batch of files in a new folder: neither atomic nor flushed to disk. Raises BadInput, DiskFull.
    """
    try:
        _create(path, data, sync=False)
    except OSError as error:
        raise _cannot("write", str(path), error) from None


def open_private(path: Path) -> IO[str]:
    """Create a text file with mode 0600 for writing. Raises OSError."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")


def refuse_special(path: Path) -> None:
    """Raise BadInput when `path` exists and is not a regular file.

    Renaming onto /dev/null would replace the device; renaming onto a symbolic link, the link.
    """
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # missing or inaccessible: writing reports it
    if not stat.S_ISREG(mode):
        raise BadInput(f"{path} exists and is not a regular file.", "Choose another path.")


def make_private_folder(path: Path) -> None:
    """Create a folder with mode 0700. An existing folder keeps its mode."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot("create the folder", str(path), error) from None


def write_stdout(data: bytes) -> None:
    """Write bytes to standard output, whatever the encoding of the terminal.

    Raises BadInput, DiskFull, BrokenPipeError.
    """
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise  # the reader has gone: bakery/commands/command_line/entry.py ends the command
    except OSError as error:
        # Python flushes again at exit, which must not fail a second time.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise _cannot("write to", "standard output", error) from None


def read_limited(path: Path, limit: int) -> bytes:
    """Return the content of a file of at most `limit` bytes. Raises BadInput."""
    try:
        return named_file.content(path, limit)
    except OSError as error:
        raise _cannot("read", str(path), error) from None


def read_stdin(limit: int) -> bytes:
    """Return all of standard input, at most `limit` bytes. Raises BadInput."""
    if sys.stdin is None:
        raise BadInput("Standard input is closed.", "Give a file instead of -.")
    return named_file.within(sys.stdin.buffer.read(limit + 1), limit, "standard input")


def is_world_readable(path: Path) -> bool:
    """Whether a regular file is readable by everybody; False for a pipe such as <(pass token)."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise _cannot("read", str(path), error) from None
    return stat.S_ISREG(mode) and bool(mode & stat.S_IROTH)


def _create(path: Path, data: bytes, *, sync: bool) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(handle, 0o600)  # the umask may remove even the owner's permissions
        file.write(data)
        file.flush()
        if sync:
            os.fsync(handle)


def _cannot(verb: str, name: str, error: OSError) -> BakeryError:
    reason = error.strerror or "unknown system error"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"Cannot {verb} {name}: {reason}.", "Free some disk space.")
    return BadInput(f"Cannot {verb} {name}: {reason}.")
