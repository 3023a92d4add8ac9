"""Locks between processes: flock(2), which the kernel releases however a process ends.

A file in the store is locked shared by who uses it and exclusively by who removes it. What may be
made by one process only has a lock file of its own (`turn`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

OnWait = Callable[[], None]


def _silent() -> None:
    return


@contextmanager
def alone(path: Path, on_wait: OnWait = _silent) -> Iterator[None]:
    """Hold a file or folder; whoever else wants it waits. Raises FileNotFoundError."""
    lock = os.open(path, os.O_RDONLY)
    try:
        _flock(lock, fcntl.LOCK_EX, on_wait)
        yield
    finally:
        os.close(lock)


@contextmanager
def turn(path: Path, on_wait: OnWait = _silent) -> Iterator[None]:
    """Hold a lock file, made for it and gone afterwards; `on_wait` is called if another holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = None
    while lock is None:
        lock = _named(os.open(path, os.O_RDONLY | os.O_CREAT, 0o600), path, fcntl.LOCK_EX, on_wait)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before it is released: who waited sees that and makes it anew
        os.close(lock)


@contextmanager
def in_use(path: Path) -> Iterator[bool]:
    """Nobody removes this file while the block runs; False when it is not there."""
    try:
        lock = _named(os.open(path, os.O_RDONLY), path, fcntl.LOCK_SH, _silent)
    except FileNotFoundError:
        lock = None
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)


def claim(path: Path) -> int | None:
    """A descriptor that holds the file or folder exclusively; None when somebody has it or it is gone.

    Raises PermissionError.
    """
    try:
        lock = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _named(lock: int, path: Path, how: int, on_wait: OnWait) -> int | None:
    """The descriptor once it is locked; None if the file lost its name while we waited."""
    _flock(lock, how, on_wait)
    try:
        if os.path.samestat(os.fstat(lock), path.stat()):
            return lock
    except FileNotFoundError:
        pass
    os.close(lock)
    return None


def _flock(lock: int, how: int, on_wait: OnWait) -> None:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        on_wait()
        fcntl.flock(lock, how)
