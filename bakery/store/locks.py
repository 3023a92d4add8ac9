"""Locks between processes by flock(2), which the kernel releases when a process ends.

A process that uses a file of the store holds a shared lock on it; a process that removes the file needs
an exclusive lock. A name that only one process may create at a time has a lock file (`lock_file`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

OnWait = Callable[[], None]


def _do_nothing() -> None:
    return


@contextmanager
def exclusive_lock(path: Path, on_wait: OnWait = _do_nothing) -> Iterator[None]:
    """Hold an exclusive lock on an existing file or folder; wait for it if necessary.

    `on_wait` is called before waiting. Raises FileNotFoundError.
    """
    lock = os.open(path, os.O_RDONLY)
    try:
        _flock(lock, fcntl.LOCK_EX, on_wait)
        yield
    finally:
        os.close(lock)


@contextmanager
def lock_file(path: Path, on_wait: OnWait = _do_nothing) -> Iterator[None]:
    """Hold an exclusive lock on a lock file, which is created before and removed afterwards.

    `on_wait` is called before waiting for another process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = None
    while lock is None:
        lock = _lock_if_current(
            os.open(path, os.O_RDONLY | os.O_CREAT, 0o600), path, fcntl.LOCK_EX, on_wait
        )
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the release: waiting processes then create a new file
        os.close(lock)


@contextmanager
def shared_lock(path: Path) -> Iterator[bool]:
    """Hold a shared lock, which prevents removal of the file. Yields False if the file does not exist."""
    try:
        lock = _lock_if_current(os.open(path, os.O_RDONLY), path, fcntl.LOCK_SH, _do_nothing)
    except FileNotFoundError:
        lock = None
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)


@contextmanager
def one_lock_of(paths: Sequence[Path], on_wait: OnWait = _do_nothing) -> Iterator[Path]:
    """Hold an exclusive lock on one of the files, which are created if necessary and stay; yield its path.

    `on_wait` is called before waiting, if others hold all of them. All paths are in one folder.
    """
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    for path in paths:
        path.touch(0o600)
        if (lock := try_exclusive_lock(path)) is not None:
            break
    else:
        path = paths[os.getpid() % len(paths)]
        lock = os.open(path, os.O_RDONLY)
    try:
        _flock(lock, fcntl.LOCK_EX, on_wait)
        yield path
    finally:
        os.close(lock)


def try_exclusive_lock(path: Path) -> int | None:
    """Return a descriptor that holds an exclusive lock; None if the file is locked or does not exist.

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


def _lock_if_current(lock: int, path: Path, how: int, on_wait: OnWait) -> int | None:
    """Lock the descriptor and return it; close it and return None if `path` is another file by then."""
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
