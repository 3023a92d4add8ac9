"""Which conditions of a Requirements are not true, with the attributes on which they depend. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bakery.status.why import ads
from bakery.status.why.ads import Outcome
from bakery.userdata.matchmaking import language
from bakery.userdata.matchmaking.language import Node, Reference

if TYPE_CHECKING:
    import classad2  # type: ignore[import-untyped]  # the wheel has no types

Side = Literal["job", "worker"]
OTHER: dict[Side, Side] = {"job": "worker", "worker": "job"}
REQUIREMENTS = "Requirements"
_DEEPEST = 12  # expressions that refer to expressions
_IF = "ifthenelse"
# The time, and names of whole ads: their text has the job's environment.
_NO_ATTRIBUTES = ("currenttime", "my", "target", "self", "other", "parent", "root", "toplevel")


@dataclass(frozen=True)
class Attribute:
    """An attribute of the job or of a slot, and its value as a ClassAd literal."""

    side: Side
    name: str
    value: str


@dataclass(frozen=True)
class Clause:
    """A condition of one side's Requirements that is not true; `text` is as HTCondor prints it."""

    side: Side
    text: str
    outcome: Outcome
    attributes: tuple[Attribute, ...] = ()

    def value(self, side: Side, name: str) -> str:
        """Return the value of an attribute; "" if the condition does not refer to it."""
        folded = name.casefold()
        found = (one.value for one in self.attributes if (one.side, one.name.casefold()) == (side, folded))
        return next(found, "")

    def names(self, side: Side) -> frozenset[str]:
        """Return the names of one side's attributes, in lower case."""
        return frozenset(one.name.casefold() for one in self.attributes if one.side == side)


@dataclass(frozen=True)
class Ads:
    """The ads of a job and a slot."""

    job: classad2.ClassAd
    slot: classad2.ClassAd

    def of(self, side: Side) -> classad2.ClassAd:
        return self.job if side == "job" else self.slot

    def outcome(self, side: Side, text: str) -> Outcome:
        return ads.outcome(text, self.of(side), self.of(OTHER[side]))


def matches(pair: Ads) -> bool:
    """Return whether both Requirements are true, as the negotiator and the startd evaluate them."""
    return all(pair.outcome(side, REQUIREMENTS) == "true" for side in OTHER)


def failing(side: Side, pair: Ads) -> tuple[Clause, ...]:
    """Return the conditions of one side's Requirements that are not true: none, if it is true.

    Conjunctions are divided, also those of attributes to which Requirements refers (Start) and those of
    the branch of a choice that applies.
    """
    if pair.outcome(side, REQUIREMENTS) == "true":
        return ()
    text = ads.source(pair.of(side), REQUIREMENTS)
    if text is None:  # a plain value, or missing
        value = ads.value(f"MY.{REQUIREMENTS}", pair.of(side), pair.of(OTHER[side]))
        used = Attribute(side, REQUIREMENTS, ads.shown_value(value))
        return (Clause(side, REQUIREMENTS, pair.outcome(side, f"MY.{REQUIREMENTS}"), (used,)),)
    return tuple(dict.fromkeys(_divided(side, pair, text, frozenset({REQUIREMENTS.casefold()}))))


def _divided(side: Side, pair: Ads, text: str, seen: frozenset[str]) -> Iterator[Clause]:
    if len(seen) > _DEEPEST:
        yield _clause(side, pair, text)
    else:
        yield from _of_node(side, pair, text, language.tree(text), seen)


def _of_node(side: Side, pair: Ads, text: str, node: Node, seen: frozenset[str]) -> Iterator[Clause]:
    part = text[node.start : node.end]
    if pair.outcome(side, part) == "true":
        return
    found: list[Clause] = []
    if inner := _followed(side, pair, node, seen):
        found = list(_divided(side, pair, inner, seen | {node.word.casefold()}))
    else:
        for below in _conditions(side, pair, text, node):
            found += _of_node(side, pair, text, below, seen)
    yield from found or [_clause(side, pair, part)]


def _followed(side: Side, pair: Ads, node: Node, seen: frozenset[str]) -> str | None:
    """Return the expression of an attribute of the same ad, to which the node refers."""
    if node.kind != "name" or node.scope == "target" or node.word.casefold() in seen:
        return None
    return ads.source(pair.of(side), node.word)


def _conditions(side: Side, pair: Ads, text: str, node: Node) -> tuple[Node, ...]:
    """Return the nodes below that must all be true for this one to be true; none if it is not divided."""
    if node.kind == "operation" and node.word == "&&":
        return node.parts
    is_choice = node.word == "?" if node.kind == "operation" else (node.kind, node.word) == ("call", _IF)
    if not is_choice or len(node.parts) != 3:
        return ()
    condition, yes, no = node.parts
    chosen = pair.outcome(side, text[condition.start : condition.end])
    return {"true": (yes,), "false": (no,)}.get(chosen, ())


def _clause(side: Side, pair: Ads, text: str) -> Clause:
    bare = _without_brackets(text)
    used = dict.fromkeys(_attribute(side, pair, one) for one in language.references(bare))
    return Clause(side, ads.shown(bare), pair.outcome(side, text), tuple(filter(None, used)))


def _attribute(side: Side, pair: Ads, reference: Reference) -> Attribute | None:
    """Look a name up as the library does: without a scope, first in the ad of the expression."""
    if reference.name.casefold() in _NO_ATTRIBUTES:
        return None
    own = reference.scope == "my" or (not reference.scope and reference.name in pair.of(side))
    where = side if own else OTHER[side]
    found = ads.value(str(Reference("my", reference.name)), pair.of(where), pair.of(OTHER[where]))
    text = ads.shown_value(found)
    if text == "undefined" and (expression := ads.source(pair.of(where), reference.name)):
        text = ads.shown(expression)  # such as RequireGPUs, which is for the records of GPUs
    return Attribute(where, reference.name, text)


def _without_brackets(text: str) -> str:
    bare = text.strip()
    while bare.startswith("(") and bare.endswith(")") and language.tree(bare[1:-1]).kind != "other":
        bare = bare[1:-1].strip()
    return bare
