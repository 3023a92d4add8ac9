"""Reads files that may still be being written, and writes files atomically."""

import json
import os
import time
from typing import Any, Dict, NamedTuple, Optional

SETTLED = 0.5  # seconds without a change


class Snapshot(NamedTuple):
    """The content of a file at one moment; `changed` is st_mtime_ns."""

    content: bytes
    changed: int
    inode: int


def read_settled(path: str, private: bool = True) -> Optional[bytes]:
    """The content of a file once it has not changed for SETTLED seconds; None if the file does not exist.

    `cat >file <<EOF` lets a reader see the file empty first and then in parts. With `private`, the file is
    changed to owner root and mode 0600.
    """
    before = _snapshot(path, private)
    while before is not None:
        time.sleep(SETTLED)
        now = _snapshot(path, private)
        if now == before:
            return now.content if now else None
        before = now
    return None


def _snapshot(path: str, private: bool) -> Optional[Snapshot]:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(file, "rb") as opened:
        if private:
            make_private(opened.fileno())
        content = opened.read()
        status = os.fstat(opened.fileno())
    return Snapshot(content, status.st_mtime_ns, status.st_ino)


def make_private(file: int) -> None:
    """Give an open file to root with mode 0600.

    Nothing is changed that is right already, because the path unit treats a chmod as a change. A file of
    another owner that only the owner can read may stay as it is if it cannot be changed, as on a read-only
    mount of a container. Raises OSError if others can read it.
    """
    try:
        _set_private(file)
    except OSError:
        if os.fstat(file).st_mode & 0o077:
            raise


def _set_private(file: int) -> None:
    status = os.fstat(file)
    if status.st_mode & 0o7777 != 0o600:
        os.fchmod(file, 0o600)
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(file, os.geteuid(), os.getegid())


def create_private_folder(path: str) -> None:
    """Create a directory that only root may enter."""
    os.makedirs(path, 0o700, exist_ok=True)
    os.chmod(path, 0o700)
    os.chown(path, os.geteuid(), os.getegid())


def put(path: str, content: bytes, mode: int) -> bool:
    """Write a file atomically by a rename. Return False if content, owner and mode were right already."""
    if _is_unchanged(path, content, mode):
        return False
    # HTCondor ignores names that start with a dot in its directories of tokens and configuration.
    folder, name = os.path.split(path)
    unfinished = os.path.join(folder, ".%s.%d" % (name, os.getpid()))
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(content)
            os.fchmod(opened.fileno(), mode)
            opened.flush()
            os.fsync(opened.fileno())
        os.rename(unfinished, path)
    except BaseException:
        os.unlink(unfinished)
        raise
    return True


def read_text(path: str) -> str:
    """The content of a file; "" if it does not exist."""
    try:
        with open(path, encoding="utf-8") as opened:
            return opened.read()
    except FileNotFoundError:
        return ""


def read_json(path: str) -> Dict[str, Any]:
    """The object in a JSON file; empty if the file does not exist or does not hold one."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def modified_at(path: str) -> float:
    """The modification time of a file, in seconds since 1970; 0 if it does not exist."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def _is_unchanged(path: str, content: bytes, mode: int) -> bool:
    try:
        with open(path, "rb") as opened:
            status = os.fstat(opened.fileno())
            same_owner_and_mode = status.st_uid == os.geteuid() and status.st_mode & 0o7777 == mode
            return same_owner_and_mode and opened.read() == content
    except FileNotFoundError:
        return False
