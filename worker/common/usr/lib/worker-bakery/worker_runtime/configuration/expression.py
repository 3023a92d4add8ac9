"""Checks that a text is one closed ClassAd expression. Pure.

This is not a parser of ClassAds (HTCondor has one, see configuration_check.py). It finds what would let the
text reach beyond the parentheses into which it is put, and the most frequent mistakes. Where a quoted text
ends depends on the reader: in a startd's configuration a backslash stands for itself unless a quote
follows; elsewhere it always belongs to the next character. A text that only one of the two considers closed
is rejected.
"""

import re
from typing import List, NamedTuple, Optional

_TOKEN = re.compile(
    r"""
      (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<comment>//|/\*)
    | (?P<operator>=\?=|=!=|==|<=|>=|!=)
    | (?P<open>[(\[{])
    | (?P<close>[)\]}])
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
# An even number of backslashes before a double quote; any in a quoted name.
_READ_TWO_WAYS = re.compile(r'(?<!\\)(?:\\\\)+"|\A\'.*\\', re.DOTALL)
_CLOSES = {")": "(", "]": "[", "}": "{"}


class Piece(NamedTuple):
    """A token of the text; `kind` is the name of its group in _TOKEN."""

    kind: str
    text: str


def problem(text: str) -> Optional[str]:
    """What is wrong with the text, as a predicate that follows the name of the key; None if nothing is."""
    open_brackets: List[str] = []
    for match in _TOKEN.finditer(text):
        piece = Piece(str(match.lastgroup), match.group())
        if piece.kind == "open":
            open_brackets.append(piece.text)
        elif piece.kind == "close":
            if not open_brackets or open_brackets.pop() != _CLOSES[piece.text]:
                return "has a closing %s without its opening bracket" % piece.text
        else:
            found = _problem_of(piece, in_record="[" in open_brackets)
            if found:
                return found
    return "has an opening %s that is never closed" % open_brackets[-1] if open_brackets else None


def _problem_of(piece: Piece, in_record: bool) -> Optional[str]:
    if piece.kind == "comment":
        return "contains a comment (%s)" % piece.text
    if piece.kind == "text" and _READ_TWO_WAYS.search(piece.text):
        return "has backslashes right before a quotation mark, which can be read in two ways"
    if piece.kind != "other":
        return None
    if piece.text in "\"'":
        return "has a quotation mark that is never closed"
    if piece.text == "\\":
        return "has a backslash outside of a quoted text"
    if piece.text == "$":
        return "has a $ outside of a quoted text; macros are not expanded"
    if piece.text == "=" and not in_record:
        return "has a single = ; to compare, write == or =?="
    if piece.text == ";" and not in_record:
        return "contains a semicolon; it must be one expression"
    if ord(piece.text) > 126:
        return "has a character outside of quotes that is not ASCII (typographic quotes?)"
    return None
