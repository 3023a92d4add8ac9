"""Search the files of a mounted root for secrets: their contents, and their extended attributes."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bakery.imagediff.tree import printable
from bakery.verify.secrets.search import Match, search, search_file

_AHEAD = 64  # files
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class FileMatch:
    """A secret in a file. `path` begins with a slash; `attribute` is set if it is in that xattr."""

    path: bytes
    match: Match
    attribute: str = ""

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        where = printable(self.path)
        return f"{where} (extended attribute {self.attribute})" if self.attribute else where


@dataclass
class Searched:
    """How much was searched."""

    files: int = 0


def search_files(root: Path, searched: Searched) -> Iterator[FileMatch]:
    """Yield the secrets in all files and attributes below `root`. Raises OSError."""
    top = os.fsencode(root)
    for node in _opened_ahead(_nodes(top)):
        with closing(node):
            searched.files += not stat.S_ISDIR(node.mode)
            yield from _in_node(top, node)


@dataclass(frozen=True)
class _Node:
    """A file of any kind; `opened` is a regular one that is not empty."""

    path: bytes
    mode: int
    opened: int | None

    def close(self) -> None:
        if self.opened is not None:
            os.close(self.opened)


def _in_node(top: bytes, node: _Node) -> Iterator[FileMatch]:
    yield from _attributes(top, node.path)
    if stat.S_ISLNK(node.mode):
        yield from (FileMatch(node.path[len(top) :], found) for found in search(_target(node.path)))
    if node.opened is not None:
        yield from (FileMatch(node.path[len(top) :], found) for found in search_file(node.opened))


def _nodes(top: bytes) -> Iterator[_Node]:
    """All files below `top`, and itself, opened; one with several names comes once."""
    yield _Node(top, os.lstat(top).st_mode, None)
    seen: set[tuple[int, int]] = set()
    folders = [top]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    folders.append(entry.path)
                key = status.st_dev, status.st_ino
                if key not in seen:
                    seen.add(key)
                    yield _Node(entry.path, status.st_mode, _open(entry.path, status))


def _open(path: bytes, status: os.stat_result) -> int | None:
    """Open a regular file, which the kernel begins to read; None if it is another, or empty."""
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return None
    opened = os.open(path, _OPEN)
    os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_WILLNEED)
    return opened


def _opened_ahead(nodes: Iterator[_Node]) -> Iterator[_Node]:
    """Yield the nodes; some that follow are open already, so that nobody waits for them one by one."""
    ahead: deque[_Node] = deque()
    try:
        for node in nodes:
            ahead.append(node)
            if len(ahead) > _AHEAD:
                yield ahead.popleft()
        while ahead:
            yield ahead.popleft()
    finally:
        for node in ahead:
            node.close()


def _target(path: bytes) -> bytes:
    return os.fsencode(Path(os.fsdecode(path)).readlink())


def _attributes(top: bytes, path: bytes) -> Iterator[FileMatch]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:  # a file system without attributes
        return
    for name in names:
        for found in search(os.getxattr(path, name, follow_symlinks=False)):
            yield FileMatch(path[len(top) :], found, name)
