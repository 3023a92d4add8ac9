"""Find jobs without some attribute for which a Start may not do what its author expects.

`A == "x"` is UNDEFINED for a job without A, which is not accepted, as expected. `A != "x"` is UNDEFINED as
well, so it does not accept the job either; `A =!= "x"` does accept it. Both are reported only if the search
finds such a job and HTCondor's library confirms it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from bakery.userdata.matchmaking import language
from bakery.userdata.matchmaking.fitting import Search, found
from bakery.userdata.matchmaking.language import Node, Reference, nodes
from bakery.userdata.matchmaking.matching import Pair, accepts, parse
from bakery.userdata.matchmaking.suggestions import Variable, sample_value, variable_of

_MOST = 6  # attributes to check
_MAX_EVALUATIONS = 500  # evaluations for each
_EXPLICIT = ("undefined", "error", "true", "false")
_UNEQUAL, _SAME, _NOT_SAME = "!=", "=?=", "=!="
Outcome = Literal["rejected", "accepted"]


@dataclass(frozen=True)
class Case:
    """A job without this attribute, which the Start accepts or not because of this part."""

    attribute: Reference
    part: str
    accepted: bool
    value: str  # of the part for this job, as a ClassAd literal
    job: Pair


@dataclass(frozen=True)
class _Condition:
    """A condition on attributes that a job may lack; `negated`: below an odd number of !."""

    node: Node
    negated: bool

    @property
    def outcome(self) -> Outcome:
        return "accepted" if self.node.word in (_SAME, _NOT_SAME) else "rejected"


def cases(text: str) -> Iterator[Case]:
    """Yield at most one accepted and one rejected case for each attribute of the job."""
    conditions = list(_conditions(language.tree(text), negated=False))
    named = [name for condition in conditions for name in _lacking(condition.node)]
    for name in list(dict.fromkeys(named))[:_MOST]:
        for outcome in ("rejected", "accepted"):
            ours = [
                condition
                for condition in conditions
                if condition.outcome == outcome and name in _lacking(condition.node)
            ]
            yield from _case(text, name, ours)


def _case(text: str, name: Variable, conditions: Sequence[_Condition]) -> Iterator[Case]:
    if not conditions:
        return
    written = _as_written(conditions[0].node, name)
    other = _inverted_start(text, conditions, written)
    accepted = conditions[0].outcome == "accepted"
    this, that = (text, other) if accepted else (other, text)
    for pair in found(Search(this, {name: None}, apart=True, max_evaluations=_MAX_EVALUATIONS)):
        if not accepts(parse(that), pair):
            part = text[conditions[0].node.start : conditions[0].node.end]
            value = str(not conditions[0].negated).lower() if accepted else "UNDEFINED"
            yield Case(written, part, accepted, value, pair)
            return


def _conditions(node: Node, *, negated: bool) -> Iterator[_Condition]:
    if node.kind == "operation" and node.word in ("&&", "||", "!"):
        for part in node.parts:
            yield from _conditions(part, negated=negated != (node.word == "!"))
    elif node.kind == "operation" and node.word == "?":
        for part in node.parts[1:]:
            yield from _conditions(part, negated=negated)
    elif _is_one(node, negated):
        yield _Condition(node, negated)


def _is_one(node: Node, negated: bool) -> bool:
    if node.kind == "operation" and node.word in (_SAME, _NOT_SAME):
        explicit = any(part.word.casefold() in _EXPLICIT for part in node.parts if part.kind == "value")
        return not explicit and negated == (node.word == _SAME)
    return negated != (node.kind == "operation" and node.word == _UNEQUAL)


def _lacking(node: Node) -> tuple[Variable, ...]:
    """Return the attributes in the condition that some jobs do not have."""
    named = (variable_of(one.scope, one.word) for one in nodes(node) if one.kind == "name")
    return tuple(dict.fromkeys(one for one in named if one.side == "job" and sample_value(one) is None))


def _as_written(node: Node, name: Variable) -> Reference:
    names = (one for one in nodes(node) if one.kind == "name")
    found = next(one for one in names if variable_of(one.scope, one.word) == name)
    return Reference(found.scope, found.word)


def _inverted_start(text: str, conditions: Sequence[_Condition], name: Reference) -> str:
    """Return the Start that treats a job without the attribute the opposite way."""
    for condition in sorted(conditions, key=lambda one: -one.node.start):
        part = text[condition.node.start : condition.node.end]
        text = (
            text[: condition.node.start]
            + f"({_inverted(condition, part, name)})"
            + text[condition.node.end :]
        )
    return text


def _inverted(condition: _Condition, part: str, name: Reference) -> str:
    if condition.outcome == "accepted":
        return (
            f"{name} =?= undefined || ({part})"
            if condition.negated
            else f"{name} =!= undefined && ({part})"
        )
    return f"({part}) =?= true" if condition.negated else f"({part}) =?= undefined || ({part})"
