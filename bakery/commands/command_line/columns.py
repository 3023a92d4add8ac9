"""Tables and lines on stdout that fit the terminal. In a pipe or a file nothing is wrapped."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

_GAP = "  "


def table(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """The lines of a table; the first row is the header.

    If `width` (columns) is too small, cells are wrapped between words, those of the widest column first.
    If it is too small for the words, each row becomes a list of its cells.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    least = [max(_longest_word(cell) for cell in column) for column in zip(*rows, strict=True)]
    room = width - len(_GAP) * (len(widths) - 1)
    if width and sum(least) > room:
        yield from _lists(rows, width)
        return
    while width and sum(widths) > room:
        widest = max(range(len(widths)), key=lambda at: (widths[at] > least[at], widths[at]))
        widths[widest] -= 1
    for row in rows:
        yield from _row(row, widths)


def wrapped(line: str, width: int, indent: int) -> str:
    """A line, broken into lines of at most `width` columns (0: unlimited). The later ones are indented."""
    if not width or len(line) <= width:
        return line
    return textwrap.fill(
        line, width, subsequent_indent=" " * min(indent, width // 2), break_on_hyphens=False
    )


def _longest_word(cell: str) -> int:
    return max(map(len, cell.split()), default=0)


def _row(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """The lines of a row: as many as its highest cell has."""
    columns = [
        [cell] if len(cell) <= width else textwrap.wrap(cell, width, break_on_hyphens=False)
        for cell, width in zip(cells, widths, strict=True)
    ]
    for number in range(max(map(len, columns))):
        texts = (column[number] if number < len(column) else "" for column in columns)
        yield _GAP.join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip()


def _lists(rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Each row as its first cell, followed by the others with their headers."""
    (_, *header), *rest = rows
    first = max(map(len, header))
    for name, *cells in rest:
        yield from textwrap.wrap(name, width)
        for title, cell in zip(header, cells, strict=True):
            line = f"{_GAP}{title:<{first}}{_GAP}{cell}".rstrip()
            yield from wrapped(line, width, first + 2 * len(_GAP)).splitlines()
