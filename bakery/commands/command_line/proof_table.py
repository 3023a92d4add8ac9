"""A proof as a table, printed after a verification."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from bakery.commands.command_line import terminal
from bakery.output.formats import LEVELS

_HEADER = ("level", "what was shown", "seconds")
_USUAL = 80  # columns
_LEAST = 20  # columns for what was shown, even on a narrow terminal


def print_proof(proof: Mapping[str, Mapping[str, Any]]) -> None:
    """Print on stderr what was shown, and the seconds that each check took."""
    if proof:
        print("\n".join(lines(proof, terminal.width(terminal.STDERR) or _USUAL)), file=sys.stderr)


def lines(proof: Mapping[str, Mapping[str, Any]], width: int) -> Iterator[str]:
    """The rows, at most `width` columns wide: long texts are wrapped. The lowest level comes first."""
    rows = [_HEADER, *_rows(proof)]
    first, last = (max(len(row[column]) for row in rows) for column in (0, 2))
    middle = max(_LEAST, min(width - first - last - 4, max(len(row[1]) for row in rows)))
    for level, what, seconds in rows:
        begin, *more = textwrap.wrap(what, middle) or [""]
        yield f"{level:<{first}}  {begin:<{middle}}  {seconds:>{last}}"
        yield from (f"{'':<{first}}  {text}" for text in more)


def _rows(proof: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for level in LEVELS:
        for check in proof.get(level, {}).get("checks", ()):
            yield level, check["what"], f"{check['seconds']:.1f}"
