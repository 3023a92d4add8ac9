"""The files that user-data writes, as far as they can be known before the boot.

Each path has all that may be there in the end: under a condition one text or another, or nothing.
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
    """A text (see `unknown`), its mode (-1: not known), and where in the user-data it was written."""

    text: str
    mode: int = -1
    where: str = ""


Options = tuple[File | None, ...]
Files = dict[str, Options]
ABSENT: Options = (None,)


def write(files: Files, path: str, text: str, *, append: bool, mode: int, where: str) -> None:
    """As > and >> do: the mode is for a file that is made, what exists keeps its own."""
    made: list[File | None] = []
    for old in files.get(path, ABSENT):
        before = old.text if old and append else ""
        made.append(File(unknown.joined((before, text)), mode if old is None else old.mode, where))
    files[path] = _few(made)


def put(files: Files, path: str, file: File) -> None:
    files[path] = (file,)


def remove(files: Files, path: str) -> None:
    files[path] = ABSENT


def change(files: Files, path: str, sign: str, where: str) -> None:
    """Something is done to it that cannot be followed; perhaps it is not even there."""
    files[path] = (File(sign, -1, where),)


def change_mode(files: Files, path: str, text: str) -> None:
    if path in files:
        files[path] = tuple(old and replace(old, mode=mode_of(text, old.mode)) for old in files[path])


def mode_of(text: str, before: int) -> int:
    """What chmod makes of a mode; -1 if that is not known."""
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
    """What reading it gives."""
    texts = {old.text if old else "" for old in files.get(path, ())}
    if len(texts) == 1:
        return texts.pop()
    return unknown.BRANCH if texts else unknown.FETCHED


def merged(ends: Sequence[Files]) -> Files:
    """After one of several ways."""
    paths = dict.fromkeys(path for end in ends for path in end)
    return {path: _few([one for end in ends for one in end.get(path, ABSENT)]) for path in paths}


def _few(options: Iterable[File | None]) -> Options:
    different = tuple(dict.fromkeys(options))
    if len(different) <= _MOST:
        return different
    return (File(unknown.BRANCH, -1, next(one.where for one in different if one)),)
