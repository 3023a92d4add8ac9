"""What echo, printf and test of a shell make of their words, as bash(1) and dash(1) say."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence

from bakery.userdata.lint import unknown

_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "\\": "\\",
    '"': '"',
}
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|0?([0-7]{1,3})|(.))", re.DOTALL)
_ESCAPE_OF_ECHO = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|0([0-7]{0,3})|(.))", re.DOTALL)
_FIELD = re.compile(r"%(%|[-0-9.+ #]*[a-zA-Z])")
_ECHO_OPTION = re.compile(r"-[neE]+")


def echo(words: Sequence[str], *, posix: bool) -> str:
    """sh is dash on Debian and Ubuntu and bash elsewhere: what these write differently is unknown."""
    words, options = list(words), ""
    while words and _ECHO_OPTION.fullmatch(unknown.plain(words[0])):
        options += unknown.plain(words.pop(0))[1:]
    if words and not unknown.is_known(words[0]) and not unknown.known_part(words[0]):
        return unknown.OUTPUT  # perhaps that is an option
    text = _joined(words)
    if posix and (set(options) & {"e", "E"} or "\\" in text):
        return unknown.DIALECT
    escapes = re.findall("[eE]", options)
    if escapes and escapes[-1] == "e":
        text, ends, _ = text.partition("\\c")
        text = _ESCAPE_OF_ECHO.sub(_character, text)
        return text if ends or "n" in options else text + "\n"
    return text if "n" in options else text + "\n"


def _joined(words: Sequence[str]) -> str:
    """With a blank between words, but for what may be no word at all."""
    made, is_open = [], True
    for word in words:
        vanishes = unknown.UNSPLIT in word and not unknown.known_part(word)
        made += [word] if is_open or vanishes else [" ", word]
        is_open = vanishes
    return unknown.joined(made)


def escaped(text: str) -> str:
    """With the characters that the backslashes mean; an unknown one stays as it is."""
    return _ESCAPE.sub(_character, text)


def _character(match: re.Match[str]) -> str:
    if match[1] or match[2] is not None:
        return chr(int(match[1], 16) if match[1] else int(match[2] or "0", 8) & 0xFF)
    return _ESCAPES.get(match[3], match[0])


def printf(words: Sequence[str]) -> str:
    """With %s, %b, %d, %i and %%; the format is used again while there are words."""
    if words[:1] == ["--"]:
        words = words[1:]
    if not words or words[0].startswith("-") or any(unknown.UNSPLIT in word for word in words):
        return unknown.OUTPUT
    form, rest = words[0], deque(words[1:])
    made = ""
    while True:
        before = len(rest)
        made = unknown.joined((made, _formatted(form, rest)))
        if not rest or len(rest) == before or made == unknown.LONG:
            return made


def _formatted(form: str, words: deque[str]) -> str:
    made, at = [], 0
    for match in _FIELD.finditer(form):
        made.append(escaped(form[at : match.start()]))
        at = match.end()
        made.append("%" if match[1] == "%" else _field(match[1], words))
    return unknown.joined([*made, escaped(form[at:])])


def _field(kind: str, words: deque[str]) -> str:
    word = words.popleft() if words else ""
    if kind == "s":
        return word
    if kind == "b":
        return escaped(word)
    if kind in ("d", "i") and re.fullmatch(r"-?[1-9]\d*|0|", word):
        return word or "0"
    return unknown.OUTPUT


def test(words: Sequence[str]) -> bool | None:
    """None if the answer is not known before the boot."""
    if words[:1] == ["!"]:
        answer = test(words[1:])
        return None if answer is None else not answer
    if not all(unknown.is_known(word) for word in words):
        return None
    said = [unknown.plain(word) for word in words]
    if len(said) == 3 and said[1] in ("=", "==", "!="):
        return (said[0] == said[2]) == (said[1] != "!=")
    if len(said) == 2 and said[0] in ("-n", "-z"):
        return bool(said[1]) == (said[0] == "-n")
    return bool(said[0]) if len(said) == 1 else None
