"""A proof as a table for people."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from bakery.output.formats import LEVELS

_HEADER = ("level", "what was shown", "seconds")
_USUAL = 80  # columns
_LEAST = 20  # columns for what was shown, however narrow the terminal is


def print_proof(proof: Mapping[str, Mapping[str, Any]]) -> None:
    """To stderr: what was shown, and how long each took."""
    if proof:
        print("\n".join(lines(proof, _columns())), file=sys.stderr)


def _columns() -> int:
    """Of the terminal, or else of none."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL
    except (OSError, ValueError):
        return _USUAL


def lines(proof: Mapping[str, Mapping[str, Any]], width: int) -> Iterator[str]:
    """Of at most so many columns; what is longer is wrapped in its own. The lowest level comes first."""
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
