"""Generate strings that match a regular expression. Pure.

The result is a quick, limited guess: unsupported syntax (look-around, back references) is read as literal
text. HTCondor's library decides in the end whether a string matches.
"""

from __future__ import annotations

_MOST = 4  # examples of one pattern
_LONGEST = 64  # of what {n} repeats
_CLASSES = {"d": ["0", "1"], "w": ["a", "b"], "s": [" "], "D": ["a"], "W": ["-"], "S": ["a"]}
_ANCHORS = "bBAZzG"  # \b and the like match no character
_WHITE = {"t": "\t", "n": "\n", "r": "\r"}


def examples(pattern: str) -> list[str]:
    """Return a few strings that match a PCRE pattern; none if it cannot be parsed."""
    try:
        made, at = _either(pattern, 0)
    except (IndexError, ValueError, RecursionError):
        return []
    return list(dict.fromkeys(made)) if at == len(pattern) else []


def _either(pattern: str, at: int) -> tuple[list[str], int]:
    """Parse alternatives, up to a closing bracket or the end."""
    made, at = _sequence(pattern, at)
    while at < len(pattern) and pattern[at] == "|":
        more, at = _sequence(pattern, at + 1)
        made = [*made, *more]
    return made[:_MOST], at


def _sequence(pattern: str, at: int) -> tuple[list[str], int]:
    made = [""]
    while at < len(pattern) and pattern[at] not in "|)":
        parts, at = _atom(pattern, at)
        times, at = _repeated(pattern, at)
        parts = [part * times for part in parts] if times else ["", *parts]
        made = [before + part for before in made for part in parts][:_MOST]
    return made, at


def _atom(pattern: str, at: int) -> tuple[list[str], int]:
    letter = pattern[at]
    if letter == "(":
        made, at = _either(pattern, _inside(pattern, at + 1))
        if pattern[at] != ")":
            raise ValueError(pattern)
        return made, at + 1
    if letter == "[":
        return _set(pattern, at + 1)
    if letter == "\\":
        return _escaped(pattern[at + 1]), at + 2
    return [{"^": "", "$": "", ".": "x"}.get(letter, letter)], at + 1


def _inside(pattern: str, at: int) -> int:
    """Skip the prefix of a group: (?:  (?i:  (?<name>  (?P<name>."""
    if pattern[at] != "?":
        return at
    while pattern[at] not in ":>=!)":
        at += 1
    return at if pattern[at] == ")" else at + 1


def _escaped(letter: str) -> list[str]:
    if letter in _ANCHORS:
        return [""]
    return _CLASSES.get(letter, [_WHITE.get(letter, letter)])


def _set(pattern: str, at: int) -> tuple[list[str], int]:
    """Return two characters of a class such as [a-z]; of [^abc], others than these."""
    negated = pattern[at] == "^"
    at += negated
    letters: list[str] = []
    while pattern[at] != "]" or not letters:
        if pattern[at] == "\\":
            letters += _escaped(pattern[at + 1])
            at += 2
        elif pattern[at + 1] == "-" and pattern[at + 2] != "]":
            letters += _range(pattern[at], pattern[at + 2])
            at += 3
        else:
            letters.append(pattern[at])
            at += 1
    found = [one for one in "x0-_A" if one not in letters] if negated else letters
    return found[:2] or ["x"], at + 1


def _range(first: str, last: str) -> list[str]:
    return [chr(code) for code in range(ord(first), min(ord(last), ord(first) + 255) + 1)]


def _repeated(pattern: str, at: int) -> tuple[int, int]:
    """Return the least number of repetitions (1 without a quantifier), and the position after it."""
    sign = pattern[at : at + 1]
    if sign == "{":
        end = pattern.index("}", at)
        least, at = int(pattern[at + 1 : end].split(",")[0] or 0), end + 1
    elif sign and sign in "*+?":
        least, at = (1 if sign == "+" else 0), at + 1
    else:
        return 1, at
    if pattern[at : at + 1] in ("?", "+"):  # lazy, possessive
        at += 1
    return min(least, _LONGEST), at
