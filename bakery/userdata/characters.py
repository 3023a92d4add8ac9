"""Characters that people do not see, by their names: a text pasted from a document may have them.

The worker uses a value as it is: a name with such a character is not the one that somebody types.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

from bakery.userdata.findings import Finding, warning

NAMES = ("hidden-character",)
# Of other categories, and yet nothing but a blank: fillers of Hangul, Khmer and Braille.
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
_JOINERS = "\u200c\u200d"
_BROKEN = ("Cc", "Cs", "Zl", "Zp")  # no line of text has them
_MOST = 3  # characters in a message
_KNOWN = {"\n": "a line break", "\r": "a carriage return", "\t": "a tab", " ": "a space"}


def name(character: str) -> str:
    """Return the name of a character that should not be printed."""
    found = unicodedata.name(character, "")
    return _KNOWN.get(character) or f"the character U+{ord(character):04X} {found}".rstrip()


def breaks_line(character: str) -> bool:
    """Whether no line of text can have it: control characters, and separators of lines."""
    return unicodedata.category(character) in _BROKEN


def hidden(text: str) -> list[int]:
    """Return the positions, from 0, of the characters that people do not see, or take for a space."""
    return [at for at, one in enumerate(text) if _is_hidden(one) and not _joins(text, at)]


def removal(text: str) -> str:
    """Return what to do about the characters of a text that people do not see; "" if it has none."""
    found = [at for at, one in enumerate(text) if _is_hidden(one) or breaks_line(one)]
    return f"Remove {_listed(text, found)}." if found else ""


def findings(values: Mapping[str, str]) -> Iterator[Finding]:
    """Yield a finding for each value, by its key, that has such characters: it works, but not as typed."""
    for key, text in values.items():
        if found := [] if text.isascii() else hidden(text):
            what, them = (
                ("an invisible character", "it") if len(found) == 1 else ("invisible characters", "them")
            )
            yield warning(
                "hidden-character",
                f"{key} has {what}: {_listed(text, found)}. What people type does not match.",
                f"Remove {them}, or type the text instead of pasting it.",
            )


def _is_hidden(one: str) -> bool:
    kind = unicodedata.category(one)
    return kind == "Cf" or (kind == "Zs" and one != " ") or one in _BLANK


def _joins(text: str, at: int) -> bool:
    """Whether it is a part of writing, as in Persian and in emoji: a joiner between two that are seen."""
    around = text[at - 1 : at] + text[at + 1 : at + 2]
    seen = [one for one in around if not one.isascii() and not _is_hidden(one)]
    return text[at] in _JOINERS and len(seen) == 2


def _listed(text: str, found: list[int]) -> str:
    """Name the first ones, with positions from 1."""
    shown = [
        f"{name(text[at]).removeprefix('the character ')} at position {at + 1}" for at in found[:_MOST]
    ]
    more = f" and {len(found) - _MOST} more" if len(found) > _MOST else ""
    return ", ".join(shown) + more
