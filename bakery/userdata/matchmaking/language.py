"""Parse a ClassAd expression into a tree, for the search for a job that it accepts. Pure.

HTCondor's library parses and evaluates, but does not expose its tree. This tree only guides the search:
records, subscripts and what it cannot parse are nodes of the kind "other", and the library evaluates every
result of the search. Precedences are those of HTCondor 25 (src/classad/source.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Literal

Kind = Literal["name", "value", "call", "operation", "other"]
SCOPES = ("my", "target")
_CONSTANTS = ("true", "false", "undefined", "error")
_TOKEN = re.compile(
    r"""
      (?P<space>\s+|//[^\n]*(?:\n|\Z)|/\*.*?\*/)
    | (?P<text>"(?:[^"\\]|\\.)*")
    | (?P<quoted>'(?:[^'\\]|\\.)*')
    | (?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<sign>=\?=|=!=|==|!=|<=|>=|&&|\|\||<<|>>>|>>|.)
    """,
    re.VERBOSE | re.DOTALL,
)
# A higher number binds tighter.
_BINDS = {
    "||": 1, "&&": 2, "|": 3, "^": 4, "&": 5,
    "==": 6, "!=": 6, "=?=": 6, "=!=": 6,
    "<": 7, "<=": 7, ">": 7, ">=": 7,
    "<<": 8, ">>": 8, ">>>": 8, "+": 9, "-": 9, "*": 10, "/": 10, "%": 10,
}  # fmt: skip
_WORDS = {"is": "=?=", "isnt": "=!="}
_FLAT = ("||", "&&")  # a || b || c is one operation of three parts
_DEEPEST = 40  # nested brackets; each uses several frames of Python's stack
_MOST_LEVELS = 100  # of a tree: each sign of a + b + c is one


@dataclass(frozen=True)
class Token:
    kind: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Node:
    """A part of an expression; `start` and `end` delimit its text.

    `word` is the attribute's name, the value's text, the function's name in lower case, or the
    operator: "?" has three parts, "?:" two. `scope` is of a name: "my", "target" or "".
    """

    kind: Kind
    word: str
    parts: tuple[Node, ...]
    start: int
    end: int
    scope: str = ""


@dataclass(frozen=True)
class Reference:
    """A reference to an attribute, as written in the expression."""

    scope: str
    name: str

    def __str__(self) -> str:
        name = self.name if self.name.isidentifier() else f"'{self.name}'"
        return f"{self.scope.upper()}.{name}" if self.scope else name


class Unparsable(Exception):
    """This module cannot parse the text; the library may be able to."""


class TooDeep(Unparsable):
    """The text has too many nested brackets, or too many terms, for this module."""


@lru_cache(maxsize=64)
def tree(text: str) -> Node:
    """Parse a text. What cannot be parsed is one node of the kind "other"."""
    try:
        return strictly(text)
    except Unparsable:
        return Node("other", "", (), 0, len(text))


def strictly(text: str) -> Node:
    """Parse a text. Raises Unparsable."""
    return _Parser(text).whole()


def nodes(node: Node) -> Iterator[Node]:
    """Yield the node and all below it, from left to right."""
    yield node
    for part in node.parts:
        yield from nodes(part)


@lru_cache(maxsize=64)
def references(text: str) -> tuple[Reference, ...]:
    """Return each attribute that a text refers to once, without those in records."""
    tokens = _tokens(text)
    hidden = _in_records(tokens)
    open_to_all = (at for at in range(len(tokens)) if at not in hidden)
    return tuple(dict.fromkeys(one for at in open_to_all for one in _reference(tokens, at)))


def is_scoped(text: str) -> bool:
    """Return whether each attribute has a scope and there are no records, which have their own names."""
    return all(one.scope for one in references(text)) and not _in_records(_tokens(text))


def functions(text: str) -> frozenset[str]:
    """Return the names of the functions that a text calls, in lower case."""
    tokens = _tokens(text)
    found = pairwise(tokens)
    return frozenset(one.text.casefold() for one, then in found if one.kind == "name" and then.text == "(")


def _reference(tokens: Sequence[Token], at: int) -> Iterator[Reference]:
    token = tokens[at]
    after = tokens[at + 1].text if at + 1 < len(tokens) else ""
    before = [one.text.casefold() for one in tokens[max(0, at - 2) : at]]
    if token.kind not in ("name", "quoted") or after == "(":
        return
    plain = token.text.casefold()
    scoped = before[-1:] == ["."]
    if scoped and before[0] in SCOPES:
        yield Reference(before[0], _name(token))
    elif not scoped and plain not in (*_CONSTANTS, *_WORDS) and not (plain in SCOPES and after == "."):
        yield Reference("", _name(token))


def _in_records(tokens: Sequence[Token]) -> frozenset[int]:
    """Return the indices of the tokens in records. (A bracket after a name or ) ] } is a subscript.)"""
    inside: list[int] = []
    opened: list[bool] = []
    for at, token in enumerate(tokens):
        if token.text == "[":
            opened.append(at == 0 or (tokens[at - 1].kind == "sign" and tokens[at - 1].text not in ")]}"))
        if any(opened):
            inside.append(at)
        if token.text == "]" and opened:
            opened.pop()
    return frozenset(inside)


def _tokens(text: str) -> list[Token]:
    found = _TOKEN.finditer(text)
    return [
        Token(str(one.lastgroup), one.group(), *one.span()) for one in found if one.lastgroup != "space"
    ]


def _name(token: Token) -> str:
    return re.sub(r"\\(.)", r"\1", token.text[1:-1]) if token.kind == "quoted" else token.text


class _Parser:
    """Precedence climbing over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0
        self._levels = 0  # of the tree to the left

    def whole(self) -> Node:
        found = self._choice()
        if self._at < len(self._tokens):
            raise Unparsable
        return found

    def _peek(self) -> str:
        if self._at == len(self._tokens):
            return ""
        token = self._tokens[self._at]
        if token.kind == "name":
            return _WORDS.get(token.text.casefold(), "")
        return token.text if token.kind == "sign" else ""

    def _next(self) -> Token:
        if self._at == len(self._tokens):
            raise Unparsable
        self._at += 1
        return self._tokens[self._at - 1]

    def _takes(self, sign: str) -> bool:
        if self._peek() != sign:
            return False
        self._at += 1
        return True

    def _expect(self, sign: str) -> Token:
        if not self._takes(sign):
            raise Unparsable
        return self._tokens[self._at - 1]

    def _choice(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise TooDeep
        found = self._binary(1)
        if self._takes("?"):
            yes = self._choice()
            self._expect(":")
            no = self._choice()
            found = Node("operation", "?", (found, yes, no), found.start, no.end)
        self._depth -= 1
        return found

    def _binary(self, least: int) -> Node:
        left = self._unary()
        before = self._levels
        while (binds := _BINDS.get(sign := self._peek(), 0)) >= least:
            self._at += 1
            right = self._binary(binds + 1)
            flat = sign in _FLAT and left.word == sign and left.kind == "operation"
            parts = (*left.parts, right) if flat else (left, right)
            left = Node("operation", sign, parts, left.start, right.end)
            self._levels += not flat
            if self._levels > _MOST_LEVELS:
                raise TooDeep
        self._levels = before
        return left

    def _unary(self) -> Node:
        if self._peek() in ("!", "-", "+", "~"):
            sign = self._next()
            self._depth += 1
            if self._depth > _DEEPEST:
                raise TooDeep
            operand = self._unary()
            self._depth -= 1
            return Node("operation", sign.text, (operand,), sign.start, operand.end)
        return self._default()

    def _default(self) -> Node:
        """`a ?: b` binds tighter than any sign before it, in HTCondor since 23.10."""
        left = self._suffixed()
        while self._peek() == "?" and self._tokens[self._at + 1 : self._at + 2]:
            if self._tokens[self._at + 1].text != ":":
                break
            self._at += 2
            right = self._suffixed()
            left = Node("operation", "?:", (left, right), left.start, right.end)
        return left

    def _suffixed(self) -> Node:
        found = self._primary()
        before = self._levels
        while (sign := self._peek()) in (".", "["):
            self._at += 1
            self._levels += 1
            if self._levels > _MOST_LEVELS:
                raise TooDeep
            parts: tuple[Node, ...] = (found,)
            if sign == "[":
                parts = (found, self._choice())
                end = self._expect("]").end
            else:
                end = self._next().end
            found = Node("other", sign, parts, found.start, end)
        self._levels = before
        return found

    def _primary(self) -> Node:
        token = self._next()
        if token.text == "(" and token.kind == "sign":
            inside = self._choice()
            return replace(inside, start=token.start, end=self._expect(")").end)
        if token.kind in ("text", "number") or token.text.casefold() in _CONSTANTS:
            return Node("value", token.text, (), token.start, token.end)
        if token.kind in ("name", "quoted"):
            return self._named(token)
        if token.text == "{":
            parts = self._several("}")
            return Node("other", "{", parts, token.start, self._tokens[self._at - 1].end)
        if token.text == "[":
            return self._record(token)
        raise Unparsable

    def _named(self, token: Token) -> Node:
        if self._takes("("):
            parts = self._several(")")
            return Node("call", token.text.casefold(), parts, token.start, self._tokens[self._at - 1].end)
        scope = token.text.casefold()
        if scope in SCOPES and self._takes("."):
            name = self._next()
            if name.kind not in ("name", "quoted"):
                raise Unparsable
            return Node("name", _name(name), (), token.start, name.end, scope)
        return Node("name", _name(token), (), token.start, token.end)

    def _several(self, closing: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self._takes(closing):
            if found:
                self._expect(",")
            found.append(self._choice())
        return tuple(found)

    def _record(self, opening: Token) -> Node:
        depth = 1
        while depth:
            sign = self._next()
            if sign.kind == "sign":
                depth += {"[": 1, "]": -1}.get(sign.text, 0)
        return Node("other", "[", (), opening.start, sign.end)
