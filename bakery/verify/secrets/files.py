"""Search the files of a mounted root for secrets: their contents, and their extended attributes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bakery.imagediff.tree import printable
from bakery.verify.secrets.search import Match, search, search_file

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
    seen: set[tuple[int, int]] = set()  # files with several names
    folders = [top]
    while folders:
        folder = folders.pop()
        yield from _attributes(top, folder)
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    folders.append(entry.path)
                    continue
                key = status.st_dev, status.st_ino
                if key not in seen:
                    seen.add(key)
                    searched.files += 1
                    yield from _node(top, entry.path, status)


def _node(top: bytes, path: bytes, status: os.stat_result) -> Iterator[FileMatch]:
    yield from _attributes(top, path)
    if stat.S_ISLNK(status.st_mode):
        yield from (FileMatch(path[len(top) :], found) for found in search(_target(path)))
    if stat.S_ISREG(status.st_mode) and status.st_size:
        opened = os.open(path, _OPEN)
        try:
            yield from (FileMatch(path[len(top) :], found) for found in search_file(opened))
        finally:
            os.close(opened)


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
