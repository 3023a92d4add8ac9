"""Search for a job that a Start accepts.

The search descends the tree of the expression with a goal ("yes", "no", "undefined") for each part, and
keeps the values of each attribute that are still possible. HTCondor's library evaluates every condition
and finally the whole expression, so a result is correct even if the tree is not. A search without a result
does not prove that there is no such job; `Search.domains` says what was tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import islice, product
from math import inf, isfinite
from time import process_time
from typing import Any

from bakery.userdata.matchmaking import language
from bakery.userdata.matchmaking.language import Node, nodes
from bakery.userdata.matchmaking.matching import Answer, Pair, accepts, answer, parse, parsed_part, value
from bakery.userdata.matchmaking.suggestions import (
    Variable,
    candidates,
    example_value,
    may_vary,
    sample_value,
    variable_of,
)

Goal = tuple[Node, Answer]
Domains = Mapping[Variable, tuple[Any, ...]]

MAX_EVALUATIONS = 4000  # of one search, about 10 us each
_MOST_STEPS = 10000
_MOST_COMBINATIONS = 2000  # of values for one condition on several attributes
_MOST_ANSWERS = 200
_MOST_FOUND = 20  # candidates of one search that the library may reject
_EQUATES = ("==", "!=", "=?=", "=!=")
_COMPARES = (*_EQUATES, "<", "<=", ">", ">=")
_BOOLEAN = ("&&", "||", "!", "?", "?:", *_COMPARES)
_OPPOSITE: Mapping[Answer, Answer] = {"yes": "no", "no": "yes", "undefined": "undefined"}


_deadline: ContextVar[float] = ContextVar("deadline", default=inf)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop all searches in the block after so many seconds of CPU time: a regexp() may be slow."""
    token = _deadline.set(min(_deadline.get(), process_time() + seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def time_is_up() -> bool:
    """Return whether the time has run out, so that a search may have stopped early."""
    return process_time() >= _deadline.get()


@dataclass(frozen=True)
class Search:
    """A search for a pair for which `text` is true.

    `fixed` has the attributes with a fixed value, None for a missing attribute. With `apart`, one part
    of a || is made true and the others false. `max_evaluations` limits the number of evaluations.
    """

    text: str
    fixed: Mapping[Variable, Any] = field(default_factory=dict)
    apart: bool = False
    max_evaluations: int = MAX_EVALUATIONS

    @cached_property
    def leaves(self) -> tuple[Node, ...]:
        return tuple(leaf for leaf, _ in _leaves(language.tree(self.text), "yes"))

    @cached_property
    def domains(self) -> Domains:
        """The attributes on which the expression depends, and the values to try for each."""
        return {**_domains(self.text), **{variable: (one,) for variable, one in self.fixed.items()}}


def first(search: Search) -> Pair | None:
    """Return the first pair found, as similar to the samples as possible; None if none was found."""
    return next(found(search), None)


def found(search: Search) -> Iterator[Pair]:
    """Yield different pairs that the expression accepts; the library has evaluated each."""
    whole = parse(search.text)
    plain = Pair(job={variable.spelling: one for variable, one in search.fixed.items()})
    if accepts(whole, plain):
        yield plain
    seen = [plain]
    for values in islice(_DepthFirst(search).solutions(), _MOST_FOUND):
        pair = _pair({**search.fixed, **values})
        if pair not in seen and accepts(whole, pair):
            seen.append(pair)
            yield pair


def always_fails(search: Search) -> str:
    """Return the text of a condition that is ERROR for all values tried; "" if there is none."""
    for leaf in search.leaves:
        # The right type of an unknown attribute is not known.
        guessed = any(example_value(variable) is None for variable in _variables(leaf))
        answers = set(_answers(search, leaf))
        if time_is_up():
            return ""
        if answers == {"error"} or (answers == {"error", "undefined"} and not guessed):
            return search.text[leaf.start : leaf.end]
    return ""


def _answers(search: Search, leaf: Node) -> Iterator[Answer]:
    """Yield the results of one condition for the values to try, up to the first yes or no."""
    variables = _variables(leaf)
    domains = [search.domains.get(variable, (sample_value(variable),)) for variable in variables]
    for values in islice(product(*domains), _MOST_ANSWERS):
        pair = _pair(dict(zip(variables, values, strict=True)))
        yield (found := answer(parsed_part(search.text[leaf.start : leaf.end]), pair))
        if found in ("yes", "no") or time_is_up():
            return


def parts(text: str) -> tuple[str, ...]:
    """Return the operands of the && at the top of the expression."""
    top = language.tree(text)
    return tuple(text[part.start : part.end] for part in _conjuncts(top))


def _conjuncts(node: Node) -> Iterator[Node]:
    if node.kind == "operation" and node.word == "&&":
        for part in node.parts:
            yield from _conjuncts(part)
    else:
        yield node


@lru_cache(maxsize=64)
def _domains(text: str) -> Domains:
    by_variable: dict[Variable, list[Goal]] = {}
    for leaf, goal_answer in _leaves(language.tree(text), "yes"):
        for variable in _variables(leaf):
            by_variable.setdefault(variable, []).append((leaf, goal_answer))
    return {
        variable: candidates(
            variable,
            [leaf for leaf, goal_answer in ours if goal_answer == "yes"],
            [leaf for leaf, goal_answer in ours if goal_answer != "yes"],
            [one for leaf, _ in ours for one in _equal(text, leaf, variable)],
        )
        for variable, ours in by_variable.items()
    }


def _leaves(node: Node, goal_answer: Answer) -> Iterator[Goal]:
    """Yield the conditions, which && and the like combine, each with its goal."""
    ways = _ways((node, goal_answer), apart=False)
    if not ways:
        yield node, goal_answer
        return
    for part, below in dict.fromkeys(goal for way in ways for goal in way):
        yield from _leaves(part, below)


def _variables(node: Node) -> tuple[Variable, ...]:
    named = (variable_of(one.scope, one.word) for one in nodes(node) if one.kind == "name")
    return tuple(dict.fromkeys(variable for variable in named if may_vary(variable)))


def _ways(goal: Goal, *, apart: bool) -> list[tuple[Goal, ...]]:
    """Return the alternative goals of the operands that reach a goal; none if the part is a condition."""
    node, goal_answer = goal
    if node.kind == "call" and node.word == "ifthenelse" and len(node.parts) == 3:
        return _choices(node.parts, goal_answer)
    if node.kind != "operation" or goal_answer == "error":
        return []
    if node.word == "?":
        return _choices(node.parts, goal_answer)
    if node.word == "!":
        return [((node.parts[0], _OPPOSITE[goal_answer]),)]
    if goal_answer == "undefined":
        return []
    if node.word in ("&&", "||"):
        return _joined(node, goal_answer, apart)
    if node.word == "?:":
        return [
            ((node.parts[0], goal_answer),),
            ((node.parts[0], "undefined"), (node.parts[1], goal_answer)),
        ]
    return _compared_with_truth(node, goal_answer)


def _joined(node: Node, goal_answer: Answer, apart: bool) -> list[tuple[Goal, ...]]:
    if (node.word == "&&") == (goal_answer == "yes"):
        return [tuple((part, goal_answer) for part in node.parts)]
    if apart:
        return [
            tuple((part, goal_answer if part is chosen else _OPPOSITE[goal_answer]) for part in node.parts)
            for chosen in node.parts
        ] + [((part, goal_answer),) for part in node.parts]
    return [((part, goal_answer),) for part in node.parts]


def _choices(parts: Sequence[Node], goal_answer: Answer) -> list[tuple[Goal, ...]]:
    condition, yes, no = parts
    return [((condition, "yes"), (yes, goal_answer)), ((condition, "no"), (no, goal_answer))]


def _compared_with_truth(node: Node, goal_answer: Answer) -> list[tuple[Goal, ...]]:
    """Return the goals of A || B for `(A || B) =?= true` and the like."""
    if node.word not in _EQUATES:
        return []
    inner, truth = node.parts
    if truth.word.casefold() not in ("true", "false") or truth.kind != "value":
        return []
    if inner.kind != "operation" or inner.word not in _BOOLEAN:
        return []
    same = node.word in ("==", "=?=")
    wanted: Answer = (
        "yes" if (truth.word.casefold() == "true") == (same == (goal_answer == "yes")) else "no"
    )
    ways: list[tuple[Goal, ...]] = [((inner, wanted),)]
    if node.word in ("=?=", "=!=") and same != (goal_answer == "yes"):
        ways.append(((inner, "undefined"),))  # which is neither true nor false
    return ways


def _equal(text: str, leaf: Node, variable: Variable) -> list[Any]:
    """Return values for which both sides of a comparison are equal.

    They are the value of the other side for the samples, or the root of the difference if it is linear.
    """
    if leaf.kind != "operation" or leaf.word not in _COMPARES or not _calculates(leaf):
        return []
    left, right = (text[part.start : part.end] for part in leaf.parts)
    for part, other in zip(leaf.parts, (right, left), strict=True):
        if part.kind == "name" and variable_of(part.scope, part.word) == variable:
            same = value(parsed_part(other))
            return [same] if isinstance(same, bool | int | float | str) else []
    return _roots(f"({left}) - ({right})", variable)


def _roots(difference: str, variable: Variable) -> list[float]:
    at = [value(parsed_part(difference), _pair({variable: number})) for number in (1, 2)]
    if not all(isinstance(one, int | float) for one in at) or at[0] == at[1]:
        return []
    root = 1 - at[0] / (at[1] - at[0])
    return [root] if isfinite(root) else []


def _calculates(leaf: Node) -> bool:
    """Return whether a comparison is more than a name compared with a value."""
    return any(part.kind not in ("name", "value") for part in leaf.parts) or all(
        part.kind == "name" for part in leaf.parts
    )


def _pair(values: Mapping[Variable, Any]) -> Pair:
    """Return the pair with the values that differ from the samples."""
    other = {
        one: have
        for one, have in values.items()
        if have != sample_value(one) or type(have) is not type(sample_value(one))
    }
    return Pair(
        job={one.spelling: have for one, have in other.items() if one.side == "job"},
        worker={one.spelling: have for one, have in other.items() if one.side == "worker"},
    )


@dataclass(frozen=True)
class _State:
    """A state of the search: open goals, possible values, and the goals on several attributes."""

    goals: tuple[Goal, ...]
    domains: Domains
    several: tuple[Goal, ...] = ()


class _DepthFirst:
    """One depth-first search with a limited number of evaluations."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._answers: dict[tuple[int, int, Variable, int], Answer] = {}
        self._sample_answers: dict[tuple[int, int], Answer] = {}
        self._evaluations = 0
        self._steps = 0

    def solutions(self) -> Iterator[Mapping[Variable, Any]]:
        stack = [_State(((language.tree(self._search.text), "yes"),), self._search.domains)]
        while stack and self._within_limits():
            state = stack.pop()
            self._steps += 1
            if not state.goals:
                yield from islice(self._joint_values(state.several, state.domains), 1)
                continue
            stack.extend(reversed(self._next(state)))

    def _within_limits(self) -> bool:
        return (
            self._steps < _MOST_STEPS
            and self._evaluations < self._search.max_evaluations
            and not time_is_up()
        )

    def _next(self, state: _State) -> list[_State]:
        goal, rest = state.goals[0], state.goals[1:]
        ways = _ways(goal, apart=self._search.apart)
        if ways:
            ways.sort(key=self._unfulfilled)
            return [_State((*way, *rest), state.domains, state.several) for way in ways]
        variables = self._open(goal[0], state.domains)
        if len(variables) > 1:
            return [_State(rest, state.domains, (*state.several, goal))]
        narrowed = self._narrowed(goal, variables, state.domains)
        return [] if narrowed is None else [_State(rest, narrowed, state.several)]

    def _unfulfilled(self, way: tuple[Goal, ...]) -> int:
        """Return how many goals the sample job does not fulfil: the smallest change is tried first."""
        return sum(self._of_samples(node) != goal_answer for node, goal_answer in way)

    def _of_samples(self, node: Node) -> Answer:
        key = (node.start, node.end)
        if key not in self._sample_answers:
            self._sample_answers[key] = self._answer(node, self._search.fixed)
        return self._sample_answers[key]

    def _open(self, node: Node, domains: Domains) -> tuple[Variable, ...]:
        return tuple(one for one in _variables(node) if one in domains)

    def _narrowed(self, goal: Goal, variables: Sequence[Variable], domains: Domains) -> Domains | None:
        """Remove the values of one attribute that do not reach the goal; None if none is left."""
        if not variables:
            return domains if self._answer(goal[0], {}) == goal[1] else None
        [variable] = variables
        left = tuple(one for one in domains[variable] if self._of_one(goal[0], variable, one) == goal[1])
        return {**domains, variable: left} if left else None

    def _of_one(self, node: Node, variable: Variable, one: Any) -> Answer:
        # By identity: the domains live as long as the search, and True equals 1 as a key.
        key = (node.start, node.end, variable, id(one))
        if key not in self._answers:
            self._answers[key] = self._answer(node, {variable: one})
        return self._answers[key]

    def _joint_values(self, goals: Sequence[Goal], domains: Domains) -> Iterator[Mapping[Variable, Any]]:
        """Yield values for the attributes of conditions on several; the first value of all others."""
        if not goals:
            yield {variable: values[0] for variable, values in domains.items()}
            return
        (node, goal_answer), rest = goals[0], goals[1:]
        variables = self._open(node, domains)
        for values in islice(product(*(domains[one] for one in variables)), _MOST_COMBINATIONS):
            if not self._within_limits():
                return
            chosen = dict(zip(variables, values, strict=True))
            if self._answer(node, chosen) == goal_answer:
                yield from self._joint_values(
                    rest, {**domains, **{one: (have,) for one, have in chosen.items()}}
                )

    def _answer(self, node: Node, values: Mapping[Variable, Any]) -> Answer:
        self._evaluations += 1
        if time_is_up():
            return "error"  # no goal is an error, so the search ends
        text = self._search.text[node.start : node.end]
        return answer(parsed_part(text), _pair(values))
