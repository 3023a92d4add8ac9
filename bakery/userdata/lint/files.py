"""The files that user-data writes, as far as they are known before the boot.

Each path has a tuple of options: the files that can be there in the end, None for no file. There are
several if the content depends on a condition.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bakery.userdata.lint import unknown

_MOST = 6
_SYMBOLIC = re.compile(r"([ugoa]*)([-+=])([rwxXst]*)")
_BITS = {"r": 4, "w": 2, "x": 1, "X": 0, "s": 0, "t": 0}
_SHIFT = {"u": 6, "g": 3, "o": 0}


@dataclass(frozen=True)
class File:
    """A text (see `unknown`), its mode (-1: not known), and the part of the user-data that wrote it."""

    text: str
    mode: int = -1
    where: str = ""


Options = tuple[File | None, ...]
Files = dict[str, Options]
ABSENT: Options = (None,)


def write(files: Files, path: str, text: str, *, append: bool, mode: int, where: str) -> None:
    """Write as the redirections > and >> do. A new file gets the mode; an existing file keeps its own."""
    written: list[File | None] = []
    for old in files.get(path, ABSENT):
        before = old.text if old and append else ""
        written.append(File(unknown.joined((before, text)), mode if old is None else old.mode, where))
    files[path] = _limited(written)


def put(files: Files, path: str, file: File) -> None:
    """Replace a file."""
    files[path] = (file,)


def remove(files: Files, path: str) -> None:
    """Remove a file."""
    files[path] = ABSENT


def change(files: Files, path: str, sign: str, where: str) -> None:
    """Make the content of a file unknown; `sign` is one of the characters of `unknown`."""
    files[path] = (File(sign, -1, where),)


def change_mode(files: Files, path: str, text: str) -> None:
    """Change the mode of a file as chmod does."""
    if path in files:
        files[path] = tuple(old and replace(old, mode=mode_of(text, old.mode)) for old in files[path])


def mode_of(text: str, before: int) -> int:
    """The mode that chmod sets; -1 if it is not known."""
    if re.fullmatch(r"[0-7]{1,5}", text):
        return int(text, 8)
    if before < 0 or not text:
        return -1
    for clause in text.split(","):
        match = _SYMBOLIC.fullmatch(clause)
        if not match:
            return -1
        bits = sum(_BITS[letter] for letter in set(match[3]))
        for who in "ugo" if match[1] in ("", "a") else match[1]:
            all_of, some = 7 << _SHIFT[who], bits << _SHIFT[who]
            before = (
                before & ~some
                if match[2] == "-"
                else (before if match[2] == "+" else before & ~all_of) | some
            )
    return before


def content(files: Files, path: str) -> str:
    """The text that a program reads from a file."""
    texts = {old.text if old else "" for old in files.get(path, ())}
    if len(texts) == 1:
        return texts.pop()
    return unknown.BRANCH if texts else unknown.FETCHED


def merged(ends: Sequence[Files]) -> Files:
    """The files after one of several branches."""
    paths = dict.fromkeys(path for end in ends for path in end)
    return {path: _limited([one for end in ends for one in end.get(path, ABSENT)]) for path in paths}


def _limited(options: Iterable[File | None]) -> Options:
    different = tuple(dict.fromkeys(options))
    if len(different) <= _MOST:
        return different
    return (File(unknown.BRANCH, -1, next(one.where for one in different if one)),)
