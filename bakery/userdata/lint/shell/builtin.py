"""The output of echo and printf and the result of test, as bash(1) and dash(1) define them."""

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
_ECHO_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{1,2})|0([0-7]{0,3})|(.))", re.DOTALL)
_FIELD = re.compile(r"%(%|[-0-9.+ #]*[a-zA-Z])")
_ECHO_OPTION = re.compile(r"-[neE]+")


def echo(words: Sequence[str], *, posix: bool) -> str:
    """The output of echo; unknown where dash (`sh` of Debian and Ubuntu) and bash differ."""
    words, options = list(words), ""
    while words and _ECHO_OPTION.fullmatch(unknown.plain(words[0])):
        options += unknown.plain(words.pop(0))[1:]
    if words and not unknown.is_known(words[0]) and not unknown.known_part(words[0]):
        return unknown.OUTPUT  # it can be an option
    text = _joined(words)
    if posix and (set(options) & {"e", "E"} or "\\" in text):
        return unknown.DIALECT
    escapes = re.findall("[eE]", options)
    if escapes and escapes[-1] == "e":
        text, ends, _ = text.partition("\\c")
        text = _ECHO_ESCAPE.sub(_character, text)
        return text if ends or "n" in options else text + "\n"
    return text if "n" in options else text + "\n"


def _joined(words: Sequence[str]) -> str:
    """Join words with blanks, except beside an unknown expansion that can be no word at all."""
    made, without_blank = [], True
    for word in words:
        can_vanish = unknown.UNSPLIT in word and not unknown.known_part(word)
        made += [word] if without_blank or can_vanish else [" ", word]
        without_blank = can_vanish
    return unknown.joined(made)


def escaped(text: str) -> str:
    """Replace backslash escapes by their characters; an unknown escape stays as it is."""
    return _ESCAPE.sub(_character, text)


def _character(match: re.Match[str]) -> str:
    if match[1] or match[2] is not None:
        return chr(int(match[1], 16) if match[1] else int(match[2] or "0", 8) & 0xFF)
    return _ESCAPES.get(match[3], match[0])


def printf(words: Sequence[str]) -> str:
    """The output of printf with %s, %b, %d, %i and %%; the format is reused while arguments remain."""
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


def _field(conversion: str, words: deque[str]) -> str:
    word = words.popleft() if words else ""
    if conversion == "s":
        return word
    if conversion == "b":
        return escaped(word)
    if conversion in ("d", "i") and re.fullmatch(r"-?[1-9]\d*|0|", word):
        return word or "0"
    return unknown.OUTPUT


def test(words: Sequence[str]) -> bool | None:
    """The result of test; None if it is not known before the boot."""
    if words[:1] == ["!"]:
        result = test(words[1:])
        return None if result is None else not result
    if not all(unknown.is_known(word) for word in words):
        return None
    operands = [unknown.plain(word) for word in words]
    if len(operands) == 3 and operands[1] in ("=", "==", "!="):
        return (operands[0] == operands[2]) == (operands[1] != "!=")
    if len(operands) == 2 and operands[0] in ("-n", "-z"):
        return bool(operands[1]) == (operands[0] == "-n")
    return bool(operands[0]) if len(operands) == 1 else None
