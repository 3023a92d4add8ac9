"""Evaluate the common part of the ClassAd language in pure Python, where HTCondor's library is missing.

The page in the browser uses it; everywhere else, HTCondor's library decides (matching.py). The subset is
operators, numbers, strings, attributes and some functions. Anything else raises Unsupported, so a result is
either the library's or none: tests/unit/userdata/matchmaking/test_evaluation.py compares them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any

from bakery.userdata.matchmaking import language
from bakery.userdata.matchmaking.language import Node
from bakery.userdata.matchmaking.samples import Expression


class Value(Enum):
    """The two values of ClassAds that Python does not have."""

    UNDEFINED = "undefined"
    ERROR = "error"


class Unsupported(Exception):
    """This module does not evaluate the expression; HTCondor's library would."""


class Invalid(Exception):
    """The text is not an expression."""


@dataclass(frozen=True)
class Parsed:
    """An expression of the subset, in place of the ExprTree of the library."""

    text: str
    root: Node


@dataclass(frozen=True)
class _Ads:
    """The ad in which names are looked up first, and the other one; names are in lower case."""

    mine: Mapping[str, Any]
    target: Mapping[str, Any]
    text: str
    depth: int = 0


_DEEPEST = 20  # attributes that refer to attributes
_OPERATOR_WORDS = ("is", "isnt")
_OF_ADS = frozenset({"my", "target", "self", "parent", "toplevel", "root", "other"})  # names of whole ads
_LEADING_ZERO = re.compile(r"0[0-9]+.*")
_INTEGERS = range(-(2**63), 2**63)
_NUMBER = re.compile(r"(0|[1-9][0-9]{0,17})|([0-9]+\.[0-9]+|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]{1,2})?")
# After a sign, the library reads the digits of what is no number elsewhere: -0x1F is 0.
_SIGNED = r"[-+]\s*(?:0[0-9xX]|[0-9.]+[A-Za-z_])"
_LENIENT = r"\[|\"\s*\"|(?<!\w)\s*\.\s*[A-Za-z_']"
_STRING = re.compile(r'"(?:[^"\\]|\\["\\])*"')
# HTCondor uses PCRE, which agrees with Python's re about these.
_PATTERN = re.compile(r"(?:[A-Za-z0-9 _,:;@%/=~!#&<>'\"-]|\.|\^|\$|[*+?](?![*+?])|\||\[[A-Za-z0-9_.-]+\])*")


def parsed(text: str) -> Parsed:
    """Parse an expression. Raises Invalid, and Unsupported for what may be an expression."""
    if re.search(_SIGNED, _STRING.sub('""', text)):
        raise Unsupported(text)
    try:
        root = language.strictly(text)
    except language.TooDeep:
        raise Unsupported(text) from None
    except language.Unparsable:
        raise _wrong(text) from None
    _check(text, root)
    return Parsed(text, root)


def unknown(text: str) -> Parsed:
    """Return an expression whose evaluation raises Unsupported."""
    return Parsed(text, Node("other", "", (), 0, len(text)))


def value(expression: Parsed, worker: Mapping[str, Any], job: Mapping[str, Any]) -> Any:
    """Evaluate as a startd does: to a Python value or a Value. Raises Unsupported."""
    return _evaluated(expression.root, _Ads(_folded(worker), _folded(job), expression.text))


def _wrong(text: str) -> Invalid | Unsupported:
    """HTCondor has more than language.py: records, "a" "b" is one string, .a is a name."""
    return Unsupported(text) if re.search(_LENIENT, text) else Invalid(text)


def _check(text: str, root: Node) -> None:
    for node in language.nodes(root):
        if node.kind == "other" or (node.kind == "value" and not _is_literal(node.word)):
            raise Unsupported(text)
        word = text[node.start : node.end].split("(")[0].strip().casefold()
        if (node.kind in ("name", "call") and word in _OPERATOR_WORDS) or _is_octal(node):
            raise Invalid(text)
        if node.kind == "name" and not node.scope and word in _OF_ADS:
            raise Unsupported(text)
        if node.kind == "call" and node.word not in _FUNCTIONS and node.word not in _LAZY:
            raise Unsupported(text)
        if node.kind == "operation" and node.word not in _OPERATORS:
            raise Unsupported(text)


def _is_octal(node: Node) -> bool:
    return node.kind == "value" and bool(_LEADING_ZERO.fullmatch(node.word))


def _is_literal(word: str) -> bool:
    return bool(
        word.casefold() in _CONSTANTS or _STRING.fullmatch(word) or _NUMBER.fullmatch(word)
    ) and _printable(word)


def _printable(word: str) -> bool:
    return word.isprintable()


def _folded(ad: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name.casefold(): one for name, one in ad.items()}


_CONSTANTS: Mapping[str, Any] = {
    "true": True,
    "false": False,
    "undefined": Value.UNDEFINED,
    "error": Value.ERROR,
}


def _evaluated(node: Node, ads: _Ads) -> Any:
    if node.kind == "value":
        return _literal(node.word)
    if node.kind == "name":
        return _attribute(node, ads)
    if node.kind == "call":
        return _called(node, ads)
    if node.kind == "operation":
        return _operated(node, ads)
    raise Unsupported(node.word)


def _literal(word: str) -> Any:
    if word.casefold() in _CONSTANTS:
        return _CONSTANTS[word.casefold()]
    if word.startswith('"'):
        return re.sub(r"\\(.)", r"\1", word[1:-1])
    return int(word) if word.isdigit() else float(word)


def _attribute(node: Node, ads: _Ads) -> Any:
    """Look a name up; without a scope, in the own ad and then in the other one."""
    name = node.word.casefold()
    if name == "currenttime" and node.scope != "target" and name not in ads.mine:
        raise Unsupported(name)
    if node.scope != "target" and (found := ads.mine.get(name)) is not None:
        return _found(found, ads)
    if node.scope != "my" and (found := ads.target.get(name)) is not None:
        return _found(found, _Ads(ads.target, ads.mine, "", ads.depth))
    return Value.UNDEFINED


def _found(found: Any, ads: _Ads) -> Any:
    if isinstance(found, Expression):
        if ads.depth > _DEEPEST:
            raise Unsupported(found.text)
        inner = parsed(found.text)
        return _evaluated(inner.root, _Ads(ads.mine, ads.target, found.text, ads.depth + 1))
    if not isinstance(found, bool | int | float | str | Value):
        raise Unsupported(str(type(found)))
    return found


def _operated(node: Node, ads: _Ads) -> Any:
    if node.word in ("&&", "||"):
        return _joined(node, ads)
    if node.word == "?":
        return _chosen(node.parts, ads)
    if node.word == "?:":
        first = _evaluated(node.parts[0], ads)
        return _evaluated(node.parts[1], ads) if first is Value.UNDEFINED else first
    values = [_evaluated(part, ads) for part in node.parts]
    if len(values) == 1:
        return _signed(node.word, values[0])
    if node.word in ("=?=", "=!="):
        return _identical(*values) == (node.word == "=?=")
    if Value.ERROR in values or Value.UNDEFINED in values:
        return Value.ERROR if Value.ERROR in values else Value.UNDEFINED
    return _compared(node.word, *values) if node.word in _COMPARE else _calculated(node.word, *values)


def _chosen(parts: Sequence[Node], ads: _Ads) -> Any:
    condition = _truth(_evaluated(parts[0], ads))
    if isinstance(condition, Value):
        return condition
    return _evaluated(parts[1 if condition else 2], ads)


def _joined(node: Node, ads: _Ads) -> Any:
    """Evaluate && or || from the left: an operand that decides ends it, an error before it too."""
    decides = node.word == "||"
    result: Any = not decides
    for part in node.parts:
        found = _truth(_evaluated(part, ads))
        if found is decides or found is Value.ERROR:
            return found
        result = Value.UNDEFINED if Value.UNDEFINED in (found, result) else result
    return result


def _truth(found: Any) -> Any:
    """Return a boolean or a Value: numbers are true unless they are 0, a string is an error."""
    if isinstance(found, Value):
        return found
    return Value.ERROR if isinstance(found, str) else bool(found)


def _signed(sign: str, found: Any) -> Any:
    if sign == "!":
        truth = _truth(found)
        return truth if isinstance(truth, Value) else not truth
    if isinstance(found, Value):
        return found
    if isinstance(found, str | bool):
        return Value.ERROR
    return found if sign == "+" else _whole(-found)


def _identical(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
_OPERATORS = frozenset({"&&", "||", "!", "?", "?:", "=?=", "=!=", "+", "-", "*", "/", "%", *_COMPARE})


def _compared(sign: str, left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        if not (left.isascii() and right.isascii()):
            raise Unsupported("strings that are not ASCII")  # by the locale
        return _COMPARE[sign](left.lower(), right.lower())
    if isinstance(left, str) or isinstance(right, str):
        return Value.ERROR
    return _COMPARE[sign](left, right)


def _calculated(sign: str, left: Any, right: Any) -> Any:
    if isinstance(left, str) or isinstance(right, str):
        return Value.ERROR
    left, right = (int(one) if isinstance(one, bool) else one for one in (left, right))
    whole = isinstance(left, int) and isinstance(right, int)
    if sign == "/" and right == 0 and not whole:
        raise Unsupported("a division of reals by 0")  # an error or not a number
    if (sign in "/%" and right == 0) or (sign == "%" and not whole):
        return Value.ERROR
    if sign == "/":
        return _whole(_quotient(left, right)) if whole else left / right
    if sign == "%":
        return _whole(left - right * _quotient(left, right))
    return _whole({"+": lambda: left + right, "-": lambda: left - right, "*": lambda: left * right}[sign]())


def _quotient(left: int, right: int) -> int:
    """Divide as C does, towards zero."""
    size = abs(left) // abs(right)
    return size if (left < 0) == (right < 0) else -size


def _whole(number: Any) -> Any:
    if (isinstance(number, int) and number not in _INTEGERS) or not math.isfinite(number):
        raise Unsupported("a number that is too large")
    return number


# --- functions ---------------------------------------------------------------------------------


def _called(node: Node, ads: _Ads) -> Any:
    if node.word in _LAZY:
        return _LAZY[node.word](node.parts, ads)
    return _FUNCTIONS[node.word]([_evaluated(part, ads) for part in node.parts])


def _if_then_else(parts: Sequence[Node], ads: _Ads) -> Any:
    if len(parts) != 3:
        raise Unsupported("ifThenElse")
    return _chosen(parts, ads)


def _is(kind: Value) -> Callable[[Sequence[Any]], Any]:
    def found(values: Sequence[Any]) -> Any:
        if len(values) != 1:
            raise Unsupported("the number of arguments")
        return values[0] is kind

    return found


def _strings(values: Sequence[Any], *counts: int) -> Iterator[str]:
    """Yield the arguments. Raises Unsupported unless all are strings, which the library may convert."""
    if len(values) not in counts or not all(isinstance(one, str) for one in values):
        raise Unsupported("arguments")
    yield from values


def _unsupported() -> Any:
    raise Unsupported("arguments")


def _list_member(fold: Callable[[str], str]) -> Callable[[Sequence[Any]], Any]:
    def found(values: Sequence[Any]) -> Any:
        if len(values) == 2 and Value.UNDEFINED in values:
            known = [one for one in values if one is not Value.UNDEFINED]
            if not known:
                return Value.UNDEFINED
            return False if isinstance(known[0], str) else _unsupported()
        text, listed = _strings(values, 2)
        return text != "" and fold(text) in map(fold, re.split(r"[ ,]+", listed.strip(" ,")))

    return found


def _regexp(values: Sequence[Any]) -> Any:
    if len(values) == 2 and Value.UNDEFINED in values:
        known = [one for one in values if one is not Value.UNDEFINED]
        return Value.UNDEFINED if all(isinstance(one, str) for one in known) else _unsupported()
    pattern, text, *options = _strings(values, 2, 3)
    if not _PATTERN.fullmatch(pattern) or (options and options[0] not in ("i", "I", "")):
        raise Unsupported("the pattern")
    if not (text.isascii() and pattern.isascii()) or pattern[:1] in ("*", "+", "?"):
        raise Unsupported("the pattern")
    return bool(_compiled(pattern, bool(options and options[0])).search(text))


@cache
def _compiled(pattern: str, fold: bool) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE if fold else 0)
    except re.error:
        raise Unsupported("the pattern") from None


def _cased(change: Callable[[str], str]) -> Callable[[Sequence[Any]], Any]:
    def found(values: Sequence[Any]) -> Any:
        if len(values) == 1 and isinstance(values[0], Value):
            return values[0]
        [text] = _strings(values, 1)
        if not text.isascii():
            raise Unsupported("a string that is not ASCII")
        return change(text)

    return found


_LAZY: Mapping[str, Callable[[Sequence[Node], _Ads], Any]] = {"ifthenelse": _if_then_else}
_FUNCTIONS: Mapping[str, Callable[[Sequence[Any]], Any]] = {
    "isundefined": _is(Value.UNDEFINED),
    "iserror": _is(Value.ERROR),
    "stringlistmember": _list_member(lambda text: text),
    "stringlistimember": _list_member(str.lower),
    "regexp": _regexp,
    "tolower": _cased(str.lower),
    "toupper": _cased(str.upper),
}
