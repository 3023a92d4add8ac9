"""Search bytes for secrets: a file, or the data of a sparse disk, in chunks."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from bakery.verify.secrets import kinds
from bakery.verify.secrets.kinds import Kind

if TYPE_CHECKING:
    from ahocorasick_rs import BytesAhoCorasick

CHUNK = 8 << 20
_BEFORE = max(kind.before for kind in kinds.KINDS)
_AFTER = max(kind.after for kind in kinds.KINDS)


@dataclass(frozen=True)
class Match:
    """A secret at an offset of the searched bytes. Its repr does not show it."""

    kind: Kind
    start: int
    secret: bytes = field(repr=False)


@cache
def _automaton() -> tuple[BytesAhoCorasick, tuple[Kind, ...]]:
    from ahocorasick_rs import BytesAhoCorasick, Implementation, MatchKind

    literals, owners = zip(*kinds.anchors(), strict=True)
    # With this kind of match, and up to 64 anchors, the library compares many bytes at once: eight times as
    # fast as otherwise.
    built = BytesAhoCorasick(literals, matchkind=MatchKind.LeftmostFirst, implementation=Implementation.DFA)
    return built, owners


def search(data: bytes, first: int = 0, end: int | None = None) -> Iterator[Match]:
    """Yield the secrets around the anchors that begin in data[first:end], each once."""
    automaton, owners = _automaton()
    last = len(data) if end is None else end
    seen: set[tuple[str, int]] = set()
    for number, start, stop in automaton.find_matches_as_indexes(data):
        if first <= start < last and (found := _around(owners[number], data, start, stop)):
            key = found.kind.name, found.start
            if key not in seen:
                seen.add(key)
                yield found


def _around(kind: Kind, data: bytes, start: int, stop: int) -> Match | None:
    """The match of the kind's pattern that includes the anchor data[start:stop]."""
    low, high = max(0, start - kind.before), min(len(data), stop + kind.after)
    found = (
        kind.pattern.match(data, start, high)
        if not kind.before
        else _spanning(kind, data, start, low, high)
    )
    if found is None or found.end() < stop or not kind.confirm(found[0]):
        return None
    return Match(kind, found.start(), found[0])


def _spanning(kind: Kind, data: bytes, start: int, low: int, high: int) -> re.Match[bytes] | None:
    """The first match that includes the byte data[start]."""
    for found in kind.pattern.finditer(data, low, high):
        if found.end() > start:
            return found if found.start() <= start else None
    return None


def search_file(opened: int) -> Iterator[Match]:
    """Yield the secrets in an open file; holes are skipped. Raises OSError."""
    size = os.fstat(opened).st_size
    if size <= CHUNK:
        yield from search(os.pread(opened, size, 0))
        return
    for start, end in data_ranges(opened, size):
        for at in range(start, end, CHUNK):
            yield from _in_chunk(opened, at, min(at + CHUNK, end))


def _in_chunk(opened: int, start: int, end: int) -> Iterator[Match]:
    """Yield the secrets whose anchors begin in a chunk; it is read with what is before and after it."""
    low = max(0, start - _BEFORE)
    data = os.pread(opened, end + _AFTER - low, low)
    for found in search(data, start - low, end - low):
        yield Match(found.kind, low + found.start, found.secret)


def data_ranges(opened: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of the ranges of a sparse file that are not holes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(opened, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(opened, start, os.SEEK_HOLE)
        yield start, end
