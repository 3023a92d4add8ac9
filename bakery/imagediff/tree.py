"""Read a root file system through file descriptors: no link leads out of it, no path is too long."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from provisioner.errors import BadInput, MissingHere

# Bytes of a file that is read at once; dpkg's status has a few MiB, rpm's database a hundred.
READ_LIMIT = 512 << 20
_CHUNK = 1 << 20
_END = 1 << 63  # beyond the end of any file
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFSOCK: "socket",
    stat.S_IFIFO: "fifo",
    stat.S_IFBLK: "block device",
    stat.S_IFCHR: "character device",
}


@dataclass(frozen=True, slots=True)
class Node:
    """The metadata of a name; `size` in bytes is set for regular files, `target` for links."""

    kind: str
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    target: bytes = b""
    device: str = ""
    xattrs: tuple[tuple[str, bytes], ...] = ()


class Tree(Protocol):
    """A root file system. Paths are bytes that begin with a slash; b"" is the root."""

    def children(self, folder: bytes) -> Mapping[bytes, Node]:
        """Return the nodes in a folder by name; {} if it does not exist. Mount points appear empty."""

    def read(self, path: bytes) -> bytes | None:
        """Return the content of a regular file; None for other names and above READ_LIMIT."""


@dataclass(frozen=True)
class Folder:
    """A tree in a folder of this machine.

    Its methods raise BadInput, and MissingHere without permission.
    """

    root: Path

    def children(self, folder: bytes) -> dict[bytes, Node]:
        with _reading(self.root, folder), _skipping_missing(), self._open(folder, os.O_DIRECTORY) as opened:
            if os.fstat(opened).st_dev == self.root.stat().st_dev:
                return _nodes(opened)
        return {}

    def read(self, path: bytes) -> bytes | None:
        with _reading(self.root, path), _skipping_missing(), self._open(path) as opened:
            return _content(opened)
        return None

    def first_difference(self, other: Folder, path: bytes) -> int | None:
        """Return the offset of the first differing byte of two files of equal size, or None."""
        mine, theirs = self._open(path), other._open(path)
        with _reading(self.root, path), mine as left, theirs as right:
            return _first_difference(left, right)

    @contextmanager
    def _open(self, path: bytes, flags: int = os.O_NONBLOCK) -> Iterator[int]:
        """Open for reading, without waiting: a FIFO may have replaced a file."""
        *folders, name = [b".", *filter(None, path.split(b"/"))]
        at = os.open(self.root, _FOLDER)
        try:
            for folder in folders:
                at = _open_subfolder(at, folder)
            opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=at)
        finally:
            os.close(at)
        try:
            yield opened
        finally:
            os.close(opened)


def _open_subfolder(at: int, folder: bytes) -> int:
    """Open a subfolder and close the descriptor of its parent."""
    below = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
    os.close(at)
    return below


@contextmanager
def _skipping_missing() -> Iterator[None]:
    """End the block early if a name does not exist, is a link, or is below one."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise


@contextmanager
def _reading(root: Path, path: bytes) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"Cannot read {root}{printable(path)}: {error.strerror}."
        if error.errno in (errno.EACCES, errno.EPERM):
            raise MissingHere(what, "Run the same command as root.") from None
        raise BadInput(what, "Check whether the image is damaged or in use.") from None


def _nodes(folder: int) -> dict[bytes, Node]:
    with os.scandir(folder) as entries:
        return {os.fsencode(entry.name): _node(entry, folder) for entry in entries}


def _node(entry: os.DirEntry[str], folder: int) -> Node:
    """Read a node. The type comes from stat: some file systems do not store it in directory entries."""
    status = entry.stat(follow_symlinks=False)
    kind = _KINDS[stat.S_IFMT(status.st_mode)]
    return Node(
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_size if kind == "file" else 0,
        os.fsencode(os.readlink(entry.name, dir_fd=folder)) if kind == "link" else b"",
        f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" if kind.endswith("device") else "",
        _xattrs(f"/proc/self/fd/{folder}/{entry.name}"),
    )


def _xattrs(path: str) -> tuple[tuple[str, bytes], ...]:
    """Return all extended attributes, with capabilities, ACLs and labels; () without support for them."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names))
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise


def _content(opened: int) -> bytes | None:
    status = os.fstat(opened)
    if not stat.S_ISREG(status.st_mode) or status.st_size > READ_LIMIT:
        return None
    with open(opened, "rb", closefd=False) as file:
        return file.read(READ_LIMIT)


def _first_difference(mine: int, theirs: int) -> int | None:
    """Compare two files of equal size, skipping ranges that are holes in both."""
    at = 0
    while (at := min(_data_from(mine, at), _data_from(theirs, at))) < _END:
        left, right = os.pread(mine, _CHUNK, at), os.pread(theirs, _CHUNK, at)
        if left != right:
            return at + _common(left, right)
        if not left:
            return None
        at += len(left)
    return None


def _data_from(file: int, at: int) -> int:
    """Return the offset of the next data at or after `at`; _END if there are none."""
    try:
        return os.lseek(file, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return _END
        raise


def _common(left: bytes, right: bytes) -> int:
    """Count the equal bytes at the start."""
    differ = (at for at, (mine, theirs) in enumerate(zip(left, right, strict=False)) if mine != theirs)
    return next(differ, min(len(left), len(right)))


def printable(name: bytes) -> str:
    """Return a name as one line of printable text, reversibly: other bytes and backslashes are escaped."""
    text = name.decode("utf-8", "surrogateescape")
    return "".join(map(_escape, text))


def _escape(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
