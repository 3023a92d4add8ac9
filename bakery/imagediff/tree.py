"""A root file system, read by file descriptors: no link in it leads out, no name is too long."""

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

# Of the files that are read whole; dpkg's status has a few MiB, rpm's database a hundred.
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
    """What an image keeps of one name. `size` is a regular file's, in bytes; `target` a link's."""

    kind: str
    mode: int
    uid: int = 0
    gid: int = 0
    size: int = 0
    target: bytes = b""
    device: str = ""
    xattrs: tuple[tuple[str, bytes], ...] = ()


class Tree(Protocol):
    """Paths are bytes and begin with a slash; b"" is the root."""

    def children(self, folder: bytes) -> Mapping[bytes, Node]:
        """By name; none where there is no folder. A mount point seems empty."""

    def read(self, path: bytes) -> bytes | None:
        """None where there is no regular file, or one of more than READ_LIMIT."""


@dataclass(frozen=True)
class Folder:
    """A tree on this machine. Raises BadInput, MissingHere where it cannot be read."""

    root: Path

    def children(self, folder: bytes) -> dict[bytes, Node]:
        with _reading(self.root, folder), _none_there(), self._opened(folder, os.O_DIRECTORY) as opened:
            if os.fstat(opened).st_dev == self.root.stat().st_dev:
                return _nodes(opened)
        return {}

    def read(self, path: bytes) -> bytes | None:
        with _reading(self.root, path), _none_there(), self._opened(path) as opened:
            return _whole(opened)
        return None

    def first_difference(self, other: Folder, path: bytes) -> int | None:
        """The byte from which two files of one size differ; None if they do not."""
        mine, theirs = self._opened(path), other._opened(path)
        with _reading(self.root, path), mine as left, theirs as right:
            return _first_difference(left, right)

    @contextmanager
    def _opened(self, path: bytes, flags: int = os.O_NONBLOCK) -> Iterator[int]:
        """To read. Not to wait: a FIFO may have taken the place of a file."""
        *folders, name = [b".", *filter(None, path.split(b"/"))]
        at = os.open(self.root, _FOLDER)
        try:
            for folder in folders:
                at = _stepped(at, folder)
            opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | flags, dir_fd=at)
        finally:
            os.close(at)
        try:
            yield opened
        finally:
            os.close(opened)


def _stepped(at: int, folder: bytes) -> int:
    """The folder's descriptor instead of that of the one it is in, which is closed."""
    below = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
    os.close(at)
    return below


@contextmanager
def _none_there() -> Iterator[None]:
    """The block ends early where a name is missing, is a link, or is below one."""
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
        what = f"Cannot read {root}{shown(path)}: {error.strerror}."
        if error.errno in (errno.EACCES, errno.EPERM):
            raise MissingHere(what, "Run the same command as root.") from None
        raise BadInput(what, "Is the image damaged, or in use?") from None


def _nodes(folder: int) -> dict[bytes, Node]:
    with os.scandir(folder) as entries:
        return {os.fsencode(entry.name): _node(entry, folder) for entry in entries}


def _node(entry: os.DirEntry[str], folder: int) -> Node:
    """Its type is not the entry's, which some file systems do not keep."""
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
    """Capabilities, ACLs and labels among them; a file system without any has none."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names))
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return ()
        raise


def _whole(opened: int) -> bytes | None:
    status = os.fstat(opened)
    if not stat.S_ISREG(status.st_mode) or status.st_size > READ_LIMIT:
        return None
    with open(opened, "rb", closefd=False) as file:
        return file.read(READ_LIMIT)


def _first_difference(mine: int, theirs: int) -> int | None:
    """Both are of one size. What is a hole in both is not read."""
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
    """Where the next data are, from `at`; _END if there are no more."""
    try:
        return os.lseek(file, at, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return _END
        raise


def _common(left: bytes, right: bytes) -> int:
    """How many bytes agree before the first that does not."""
    differ = (at for at, (mine, theirs) in enumerate(zip(left, right, strict=False)) if mine != theirs)
    return next(differ, min(len(left), len(right)))


def shown(name: bytes) -> str:
    """As one line of printable text, one to one: what is not is escaped, as is a backslash."""
    text = name.decode("utf-8", "surrogateescape")
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))
