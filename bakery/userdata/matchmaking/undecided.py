"""Where a job without some attribute is taken, or not, against what one reads.

UNDEFINED is not true, so that of `A == "x"` nothing need be said. But its opposite is not true
either: `A != "x"` does not take a job without A. And `=!=` takes it, for to it UNDEFINED is a value like
others. Both are told only if there is such a job: found, and decided by HTCondor's library.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bakery.userdata.matchmaking import language
from bakery.userdata.matchmaking.fitting import Search, found
from bakery.userdata.matchmaking.language import Node, Reference, nodes
from bakery.userdata.matchmaking.matching import Pair, parsed, takes
from bakery.userdata.matchmaking.suggestions import Variable, usual, variable_of

_MOST = 6  # attributes that are looked into
_PATIENCE = 500  # evaluations for each
_EXPLICIT = ("undefined", "error", "true", "false")
_UNEQUAL, _SAME, _NOT_SAME = "!=", "=?=", "=!="
Sort = Literal["left", "taken"]


@dataclass(frozen=True)
class Case:
    """A job without this attribute, which is taken or not because of this part of the Start."""

    attribute: Reference
    part: str
    taken: bool
    value: str  # what the part is for it, in a Start's words
    job: Pair


@dataclass(frozen=True)
class _Spot:
    """A condition on attributes that a job may lack; `negated`: it stands under an odd number of !."""

    node: Node
    negated: bool

    @property
    def sort(self) -> Sort:
        return "taken" if self.node.word in (_SAME, _NOT_SAME) else "left"


def cases(text: str) -> Iterator[Case]:
    """At most one for each attribute of the job and each of the two ways."""
    spots = list(_spots(language.tree(text), negated=False))
    named = [name for spot in spots for name in _lacking(spot.node)]
    for name in list(dict.fromkeys(named))[:_MOST]:
        for sort in ("left", "taken"):
            ours = [spot for spot in spots if spot.sort == sort and name in _lacking(spot.node)]
            yield from _case(text, name, ours)


def _case(text: str, name: Variable, spots: Sequence[_Spot]) -> Iterator[Case]:
    if not spots:
        return
    written = _as_written(spots[0].node, name)
    other = _otherwise(text, spots, written)
    taken = spots[0].sort == "taken"
    this, that = (text, other) if taken else (other, text)
    for pair in found(Search(this, {name: None}, apart=True, patience=_PATIENCE)):
        if not takes(parsed(that), pair):
            part = text[spots[0].node.start : spots[0].node.end]
            value = str(not spots[0].negated).lower() if taken else "UNDEFINED"
            yield Case(written, part, taken, value, pair)
            return


def _spots(node: Node, *, negated: bool) -> Iterator[_Spot]:
    if node.kind == "operation" and node.word in ("&&", "||", "!"):
        for part in node.parts:
            yield from _spots(part, negated=negated != (node.word == "!"))
    elif node.kind == "operation" and node.word == "?":
        for part in node.parts[1:]:
            yield from _spots(part, negated=negated)
    elif _is_one(node, negated):
        yield _Spot(node, negated)


def _is_one(node: Node, negated: bool) -> bool:
    if node.kind == "operation" and node.word in (_SAME, _NOT_SAME):
        explicit = any(part.word.casefold() in _EXPLICIT for part in node.parts if part.kind == "value")
        return not explicit and negated == (node.word == _SAME)
    return negated != (node.kind == "operation" and node.word == _UNEQUAL)


def _lacking(node: Node) -> tuple[Variable, ...]:
    """What it names that some jobs do not have."""
    named = (variable_of(one.scope, one.word) for one in nodes(node) if one.kind == "name")
    return tuple(dict.fromkeys(one for one in named if one.side == "job" and usual(one) is None))


def _as_written(node: Node, name: Variable) -> Reference:
    names = (one for one in nodes(node) if one.kind == "name")
    found = next(one for one in names if variable_of(one.scope, one.word) == name)
    return Reference(found.scope, found.word)


def _otherwise(text: str, spots: Sequence[_Spot], name: Reference) -> str:
    """The same Start, if a job without the attribute were treated the other way."""
    for spot in sorted(spots, key=lambda one: -one.node.start):
        part = text[spot.node.start : spot.node.end]
        text = text[: spot.node.start] + f"({_turned(spot, part, name)})" + text[spot.node.end :]
    return text


def _turned(spot: _Spot, part: str, name: Reference) -> str:
    if spot.sort == "taken":
        return f"{name} =?= undefined || ({part})" if spot.negated else f"{name} =!= undefined && ({part})"
    return f"({part}) =?= true" if spot.negated else f"({part}) =?= undefined || ({part})"
