"""A job that a Start takes, looked for: what would make each condition true, and all of them together.

The search goes down the expression's tree with a wish ("yes", "no", "undefined") for each part and keeps,
for each attribute, the values that are still possible. Every condition is decided by HTCondor's library,
and so is, in the end, the whole: what is found is true, however the tree was read. If nothing is
found, there may still be such a job; `Search` says what was tried.
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
from bakery.userdata.matchmaking.matching import Answer, Pair, answer, parsed, piece, takes, value
from bakery.userdata.matchmaking.suggestions import Variable, example, is_free, pool, usual, variable_of

Goal = tuple[Node, Answer]
Domains = Mapping[Variable, tuple[Any, ...]]

PATIENCE = 4000  # evaluations of one search, some 10 us each
_MOST_STEPS = 10000
_MOST_COMBINATIONS = 2000  # of values for one condition on several attributes
_MOST_ANSWERS = 200
_MOST_FOUND = 20  # of one search, if the first do not do
_EQUATES = ("==", "!=", "=?=", "=!=")
_COMPARES = (*_EQUATES, "<", "<=", ">", ">=")
_BOOLEAN = ("&&", "||", "!", "?", "?:", *_COMPARES)
_OPPOSITE: Mapping[Answer, Answer] = {"yes": "no", "no": "yes", "undefined": "undefined"}


_until: ContextVar[float] = ContextVar("until", default=inf)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """All searches inside end after so many seconds of CPU time: one regexp() may take the library long."""
    token = _until.set(min(_until.get(), process_time() + seconds))
    try:
        yield
    finally:
        _until.reset(token)


def is_over() -> bool:
    """Has the time run out? Then that nothing was found says little."""
    return process_time() >= _until.get()


@dataclass(frozen=True)
class Search:
    """What to make true, and what is settled already: `pinned` has values of the job, None for "not there".

    `apart`: of what is joined by ||, make one part true and the others false. `patience`: how often
    the library may be asked.
    """

    text: str
    pinned: Mapping[Variable, Any] = field(default_factory=dict)
    apart: bool = False
    patience: int = PATIENCE

    @cached_property
    def leaves(self) -> tuple[Node, ...]:
        return tuple(leaf for leaf, _ in _leaves(language.tree(self.text), "yes"))

    @cached_property
    def tried(self) -> Domains:
        """The attributes that it depends on, and the values that were tried of each."""
        return {**_domains(self.text), **{variable: (one,) for variable, one in self.pinned.items()}}


def first(search: Search) -> Pair | None:
    """A job and a worker that it is true for, as like the samples as can be; None if none was found."""
    return next(found(search), None)


def found(search: Search) -> Iterator[Pair]:
    """Such pairs one by one, each in another way; each is verified by the library."""
    whole = parsed(search.text)
    plain = Pair(job={variable.written: one for variable, one in search.pinned.items()})
    if takes(whole, plain):
        yield plain
    seen = [plain]
    for values in islice(_Descent(search).solutions(), _MOST_FOUND):
        pair = _pair({**search.pinned, **values})
        if pair not in seen and takes(whole, pair):
            seen.append(pair)
            yield pair


def always_fails(search: Search) -> str:
    """The text of a condition that ends in an error whatever was tried; "" if there is none."""
    for leaf in search.leaves:
        # Of the unknown ones we cannot say which type they should have been.
        guessed = any(example(variable) is None for variable in _free(leaf))
        answers = set(_answers(search, leaf))
        if is_over():
            return ""
        if answers == {"error"} or (answers == {"error", "undefined"} and not guessed):
            return search.text[leaf.start : leaf.end]
    return ""


def _answers(search: Search, leaf: Node) -> Iterator[Answer]:
    """To one condition, until it is decided."""
    variables = _free(leaf)
    domains = [search.tried.get(variable, (usual(variable),)) for variable in variables]
    for values in islice(product(*domains), _MOST_ANSWERS):
        pair = _pair(dict(zip(variables, values, strict=True)))
        yield (found := answer(piece(search.text[leaf.start : leaf.end]), pair))
        if found in ("yes", "no") or is_over():
            return


def parts(text: str) -> tuple[str, ...]:
    """What is joined by && on top."""
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
    for leaf, wish in _leaves(language.tree(text), "yes"):
        for variable in _free(leaf):
            by_variable.setdefault(variable, []).append((leaf, wish))
    return {
        variable: pool(
            variable,
            [leaf for leaf, wish in ours if wish == "yes"],
            [leaf for leaf, wish in ours if wish != "yes"],
            [one for leaf, _ in ours for one in _equal(text, leaf, variable)],
        )
        for variable, ours in by_variable.items()
    }


def _leaves(node: Node, wish: Answer) -> Iterator[Goal]:
    """The conditions: what && and the like join, and they do not divide further. Each as it is wished."""
    ways = _ways((node, wish), apart=False)
    if not ways:
        yield node, wish
        return
    for part, below in dict.fromkeys(goal for way in ways for goal in way):
        yield from _leaves(part, below)


def _free(node: Node) -> tuple[Variable, ...]:
    named = (variable_of(one.scope, one.word) for one in nodes(node) if one.kind == "name")
    return tuple(dict.fromkeys(variable for variable in named if is_free(variable)))


def _ways(goal: Goal, *, apart: bool) -> list[tuple[Goal, ...]]:
    """In which ways a part can come to what is wished of it; none if it has to be tried as it is."""
    node, wish = goal
    if node.kind == "call" and node.word == "ifthenelse" and len(node.parts) == 3:
        return _choices(node.parts, wish)
    if node.kind != "operation" or wish == "error":
        return []
    if node.word == "?":
        return _choices(node.parts, wish)
    if node.word == "!":
        return [((node.parts[0], _OPPOSITE[wish]),)]
    if wish == "undefined":
        return []
    if node.word in ("&&", "||"):
        return _joined(node, wish, apart)
    if node.word == "?:":
        return [((node.parts[0], wish),), ((node.parts[0], "undefined"), (node.parts[1], wish))]
    return _compared_with_truth(node, wish)


def _joined(node: Node, wish: Answer, apart: bool) -> list[tuple[Goal, ...]]:
    if (node.word == "&&") == (wish == "yes"):
        return [tuple((part, wish) for part in node.parts)]
    if apart:
        return [
            tuple((part, wish if part is chosen else _OPPOSITE[wish]) for part in node.parts)
            for chosen in node.parts
        ] + [((part, wish),) for part in node.parts]
    return [((part, wish),) for part in node.parts]


def _choices(parts: Sequence[Node], wish: Answer) -> list[tuple[Goal, ...]]:
    condition, yes, no = parts
    return [((condition, "yes"), (yes, wish)), ((condition, "no"), (no, wish))]


def _compared_with_truth(node: Node, wish: Answer) -> list[tuple[Goal, ...]]:
    """`(A || B) =?= true` and the like: a wish for A || B."""
    if node.word not in _EQUATES:
        return []
    inner, truth = node.parts
    if truth.word.casefold() not in ("true", "false") or truth.kind != "value":
        return []
    if inner.kind != "operation" or inner.word not in _BOOLEAN:
        return []
    same = node.word in ("==", "=?=")
    wanted: Answer = "yes" if (truth.word.casefold() == "true") == (same == (wish == "yes")) else "no"
    ways: list[tuple[Goal, ...]] = [((inner, wanted),)]
    if node.word in ("=?=", "=!=") and same != (wish == "yes"):
        ways.append(((inner, "undefined"),))  # which is neither true nor false
    return ways


def _equal(text: str, leaf: Node, variable: Variable) -> list[Any]:
    """For which values two sides of a comparison are equal: what the other side is for the samples.

    Or, for numbers, if their difference is linear, where it is 0.
    """
    if leaf.kind != "operation" or leaf.word not in _COMPARES or not _calculates(leaf):
        return []
    left, right = (text[part.start : part.end] for part in leaf.parts)
    for part, other in zip(leaf.parts, (right, left), strict=True):
        if part.kind == "name" and variable_of(part.scope, part.word) == variable:
            same = value(piece(other))
            return [same] if isinstance(same, bool | int | float | str) else []
    return _roots(f"({left}) - ({right})", variable)


def _roots(difference: str, variable: Variable) -> list[float]:
    at = [value(piece(difference), _pair({variable: number})) for number in (1, 2)]
    if not all(isinstance(one, int | float) for one in at) or at[0] == at[1]:
        return []
    root = 1 - at[0] / (at[1] - at[0])
    return [root] if isfinite(root) else []


def _calculates(leaf: Node) -> bool:
    """With a name alone on one side and a value on the other, the value says it all."""
    return any(part.kind not in ("name", "value") for part in leaf.parts) or all(
        part.kind == "name" for part in leaf.parts
    )


def _pair(values: Mapping[Variable, Any]) -> Pair:
    """Only what is not as in the samples."""
    other = {
        one: have
        for one, have in values.items()
        if have != usual(one) or type(have) is not type(usual(one))
    }
    return Pair(
        job={one.written: have for one, have in other.items() if one.side == "job"},
        worker={one.written: have for one, have in other.items() if one.side == "worker"},
    )


@dataclass(frozen=True)
class _State:
    """Half way: what is still wished for, what is possible, and the wishes on several attributes."""

    goals: tuple[Goal, ...]
    domains: Domains
    several: tuple[Goal, ...] = ()


class _Descent:
    """One search, depth first, with an end to its patience."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._known: dict[tuple[int, int, Variable, int], Answer] = {}
        self._usual: dict[tuple[int, int], Answer] = {}
        self._evaluations = 0
        self._steps = 0

    def solutions(self) -> Iterator[Mapping[Variable, Any]]:
        stack = [_State(((language.tree(self._search.text), "yes"),), self._search.tried)]
        while stack and self._is_patient():
            state = stack.pop()
            self._steps += 1
            if not state.goals:
                yield from islice(self._settled(state.several, state.domains), 1)
                continue
            stack.extend(reversed(self._next(state)))

    def _is_patient(self) -> bool:
        return self._steps < _MOST_STEPS and self._evaluations < self._search.patience and not is_over()

    def _next(self, state: _State) -> list[_State]:
        goal, rest = state.goals[0], state.goals[1:]
        ways = _ways(goal, apart=self._search.apart)
        if ways:
            ways.sort(key=self._open_wishes)
            return [_State((*way, *rest), state.domains, state.several) for way in ways]
        variables = self._open(goal[0], state.domains)
        if len(variables) > 1:
            return [_State(rest, state.domains, (*state.several, goal))]
        narrowed = self._narrowed(goal, variables, state.domains)
        return [] if narrowed is None else [_State(rest, narrowed, state.several)]

    def _open_wishes(self, way: tuple[Goal, ...]) -> int:
        """How many of them the most usual job does not fulfil: what changes least comes first."""
        return sum(self._of_usual(node) != wish for node, wish in way)

    def _of_usual(self, node: Node) -> Answer:
        key = (node.start, node.end)
        if key not in self._usual:
            self._usual[key] = self._answer(node, self._search.pinned)
        return self._usual[key]

    def _open(self, node: Node, domains: Domains) -> tuple[Variable, ...]:
        return tuple(one for one in _free(node) if one in domains)

    def _narrowed(self, goal: Goal, variables: Sequence[Variable], domains: Domains) -> Domains | None:
        """Without the values for which a condition on one attribute does not come out as wished."""
        if not variables:
            return domains if self._answer(goal[0], {}) == goal[1] else None
        [variable] = variables
        left = tuple(one for one in domains[variable] if self._of_one(goal[0], variable, one) == goal[1])
        return {**domains, variable: left} if left else None

    def _of_one(self, node: Node, variable: Variable, one: Any) -> Answer:
        # By identity: the pools live as long as the search, and True is 1 to a dictionary.
        key = (node.start, node.end, variable, id(one))
        if key not in self._known:
            self._known[key] = self._answer(node, {variable: one})
        return self._known[key]

    def _settled(self, goals: Sequence[Goal], domains: Domains) -> Iterator[Mapping[Variable, Any]]:
        """Values for the attributes of conditions on several; of all others, the most usual one."""
        if not goals:
            yield {variable: values[0] for variable, values in domains.items()}
            return
        (node, wish), rest = goals[0], goals[1:]
        variables = self._open(node, domains)
        for values in islice(product(*(domains[one] for one in variables)), _MOST_COMBINATIONS):
            if not self._is_patient():
                return
            chosen = dict(zip(variables, values, strict=True))
            if self._answer(node, chosen) == wish:
                yield from self._settled(
                    rest, {**domains, **{one: (have,) for one, have in chosen.items()}}
                )

    def _answer(self, node: Node, values: Mapping[Variable, Any]) -> Answer:
        self._evaluations += 1
        if is_over():
            return "error"  # nothing wishes for that, so the search ends
        text = self._search.text[node.start : node.end]
        return answer(piece(text), _pair(values))
