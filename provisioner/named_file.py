"""Read a file that the user named: it may be a pipe without a writer, a device, or have no end."""

from __future__ import annotations

import io
import os
import select
import stat
from pathlib import Path
from typing import IO

from provisioner.errors import BadInput

TEXT_LIMIT = 16 * 1024 * 1024  # bytes of a file that people or programs write as text
DATA_LIMIT = 2 * 1024 * 1024 * 1024  # bytes of a file that becomes a part of an image
_NO_WRITER = 5.0  # seconds for a program that is to write into a named pipe to open it
_CHUNK = 1024 * 1024


def content(path: Path, limit: int = TEXT_LIMIT) -> bytes:
    """Return at most `limit` bytes, the whole file. Raises BadInput for a larger one, and as `opened`."""
    with opened(path, limit) as file:
        return within(file.read(limit + 1), limit, str(path))


def text(path: Path, limit: int = TEXT_LIMIT) -> str:
    """Return the file as UTF-8. Raises UnicodeDecodeError, and as `content`."""
    return content(path, limit).decode("utf-8")


def within(data: bytes, limit: int, name: str) -> bytes:
    """Return the data. Raises BadInput if it has more than `limit` bytes."""
    if len(data) > limit:
        raise BadInput(f"{name} is larger than {limit} bytes.", "Check that it is the right file.")
    return data


def opened(path: Path, limit: int = TEXT_LIMIT) -> IO[bytes]:
    """Open for reading; of a pipe, such as <(pass token), at most `limit` bytes and one more are read here.

    Raises BadInput for a device and for a pipe into which nothing writes, and OSError.
    """
    _refuse_device(path)
    # O_NONBLOCK: opening a pipe without a writer must not wait for one. Regular files do not know it.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISFIFO(os.fstat(handle).st_mode):
        os.set_blocking(handle, True)  # a terminal
        return os.fdopen(handle, "rb")
    with os.fdopen(handle, "rb", buffering=0):
        return io.BytesIO(_of_pipe(path, handle, limit))


def refuse_waiting(path: Path) -> None:
    """Before a library opens the path. Raises BadInput for a device and a named pipe, and OSError."""
    _refuse_device(path)
    if stat.S_ISFIFO(path.stat().st_mode) and "pipe:[" not in os.path.realpath(path):
        raise BadInput(f"{path} is a pipe, not a file.", "Name the file.")


def _refuse_device(path: Path) -> None:
    """Before it is opened, which has effects on some devices. Terminals are as standard input."""
    found = path.stat()
    is_null = found.st_rdev == Path(os.devnull).stat().st_rdev
    is_device = stat.S_ISBLK(found.st_mode) or (stat.S_ISCHR(found.st_mode) and not is_null)
    if is_device and not _is_terminal(path):
        raise BadInput(f"{path} is a device, not a file.", "Name the file.")


def _is_terminal(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.isatty(handle)
    finally:
        os.close(handle)


def _of_pipe(path: Path, handle: int, limit: int) -> bytes:
    found = _read(handle, limit + 1)
    if not found and _is_named(handle):
        waiting = select.poll()
        waiting.register(handle, select.POLLIN)
        was_opened = waiting.poll(_NO_WRITER * 1000)
        found = _read(handle, limit + 1)
        if not found and not was_opened:
            raise BadInput(f"{path} is a pipe into which no program writes.", "Name the file.")
    return found


def _is_named(handle: int) -> bool:
    """Whether it is a pipe with a path, which a program may open later; that of <(...) has its writer."""
    return not str(Path(f"/proc/self/fd/{handle}").readlink()).startswith("pipe:")


def _read(handle: int, size: int) -> bytes:
    """Read until no program has the pipe open for writing; wait for one that has, as for standard input."""
    found = bytearray()
    while len(found) < size:
        try:
            read = os.read(handle, min(_CHUNK, size - len(found)))
        except BlockingIOError:
            select.select([handle], [], [])
            continue
        if not read:
            break
        found += read
    return bytes(found)
