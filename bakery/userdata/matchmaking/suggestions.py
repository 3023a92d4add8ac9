"""Choose the values of an attribute to try, from what an expression compares it with. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise, permutations
from typing import Any, Literal

from bakery.userdata.matchmaking import patterns, samples
from bakery.userdata.matchmaking.attributes import JOB, MACHINE
from bakery.userdata.matchmaking.language import Node, nodes
from bakery.userdata.matchmaking.samples import Expression, spellings

Side = Literal["job", "worker"]
TIME = "currenttime"  # HTCondor's old name for time(), which looks like an attribute

_MOST_WORDS = 64  # of one string that is read as a list
_MOST_PIECES = 12  # that are joined in pairs
_MOST_IN_THREES = 6
_MOST_MEMBERS = 5  # of which every subset is tried
_LONGEST = 300  # of strings that are generated for their length
_NUMBERS = (0, 1, 2, 10, 100, 1000, 10**6, 10**9, -1)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_OF_PATTERNS = ("regex", "stringlistregexp")
_OF_LENGTH = ("size", "strlen", "length", "stringlistsize")


@dataclass(frozen=True)
class Variable:
    """An attribute of the job or of the worker; `name` is in lower case: names are not case-sensitive."""

    side: Side
    name: str
    spelling: str = field(default="", compare=False)  # as in HTCondor, or as in the Start


def variable_of(scope: str, name: str) -> Variable:
    """Return the attribute of a name; without a scope it is the worker's, if a worker has it."""
    folded = name.casefold()
    if scope == "my" or (not scope and _is_workers_own(folded)):
        return Variable("worker", folded, spellings(MACHINE).get(folded, name))
    return Variable("job", folded, spellings(JOB).get(folded, name))


def _is_workers_own(folded: str) -> bool:
    """Return whether workers have the attribute, according to the samples or because jobs do not."""
    return folded in spellings(samples.WORKER_ATTRIBUTES) or (
        folded in spellings(MACHINE) and folded not in spellings(JOB) and folded != TIME
    )


def sample_value(variable: Variable) -> Any:
    """Return its value in the samples; None if it is missing there."""
    return (samples.JOB if variable.side == "job" else samples.WORKER).get(variable.spelling)


def example_value(variable: Variable) -> Any:
    """Return a value of its type; None if the type is unknown."""
    some = samples.OPTIONAL_JOB if variable.side == "job" else samples.OPTIONAL_WORKER
    have = sample_value(variable)
    return some.get(variable.spelling) if have is None else have


def may_vary(variable: Variable) -> bool:
    """Return whether the search may change the attribute."""
    if isinstance(sample_value(variable), Expression) or variable.name == TIME:
        return False
    if not variable.spelling.isidentifier():  # a string in single quotes; no ad has such an attribute
        return False
    always = samples.CONSTANT_WORKER if variable.side == "worker" else ("MyType", "TargetType")
    return variable.spelling not in always


def candidates(
    variable: Variable, wanted: Iterable[Node], unwanted: Iterable[Node], equal: Sequence[Any]
) -> tuple[Any, ...]:
    """Return the values to try, the most common ones first.

    `wanted` are the conditions on the attribute that should be true, `unwanted` the others. `equal` are
    values for which both sides of a comparison are equal.
    """
    found = list(_common(variable))
    ours, others = [_literals(leaf) for leaf in wanted], [_literals(leaf) for leaf in unwanted]
    all_literals = [*ours, *others]
    found += _around(number for literals in all_literals for number in literals.numbers)
    found += [*_around(one for one in equal if _is_number(one)), *equal]
    found += _between([one for one in found if _is_number(one)])
    found += [text for literals in all_literals for text in _of_texts(literals)]
    found += _lists(_members(ours), _members(others))
    found += _together(piece for literals in all_literals for piece in literals.pieces)
    found += [text + "x" for literals in all_literals for text in literals.texts]
    found += [True, False, "x", *_NUMBERS]
    return tuple(_distinct(one for one in found if _fits(one, example_value(variable))))


@dataclass(frozen=True)
class _Literals:
    """The strings and numbers of a condition, strings that match its patterns, and its function calls."""

    texts: tuple[str, ...]
    numbers: tuple[float, ...]
    pieces: tuple[str, ...]
    calls: frozenset[str]

    @property
    def lists(self) -> bool:
        return any(word in call for call in self.calls for word in ("list", "member", "any", "all"))


def _literals(leaf: Node) -> _Literals:
    inside = list(nodes(leaf))
    calls = frozenset(one.word for one in inside if one.kind == "call")
    values = [one.word for one in inside if one.kind == "value"]
    texts = tuple(_plain(word) for word in values if word.startswith('"'))
    numbers = tuple(_number(word) for word in values if word[0].isdigit() or word[0] == ".")
    pieces = texts if calls else ()
    if any(call.startswith(_OF_PATTERNS) for call in calls):
        pieces = tuple(made for text in texts for made in patterns.examples(text))
    return _Literals(texts, numbers, pieces, calls)


def _common(variable: Variable) -> Iterator[Any]:
    """Yield the value in the sample, and one of another ad if there is one."""
    yield sample_value(variable)
    if (known := example_value(variable)) is not None:
        yield known


def _around(numbers: Iterable[float]) -> Iterator[float]:
    """Yield each number and its neighbours; integers first, which every numeric attribute can have."""
    for one in numbers:
        for number in (one, -one):
            yield from (int(number) + more for more in (0, 1, -1))
            yield from (number + more for more in (0, 1, -1))


def _between(numbers: Sequence[float]) -> list[Any]:
    ordered = sorted(set(numbers))
    halves = [(a + b) / 2 for a, b in pairwise(ordered)]
    return [*(int(half) for half in halves), *halves]


def _of_texts(literals: _Literals) -> Iterator[str]:
    for text in literals.texts:
        yield text
        words = text.replace(",", " ").split()
        yield from words[:_MOST_WORDS]
    for piece in literals.pieces:
        yield from (piece, piece + "x", "x" + piece, "x" + piece + "x")
    if literals.calls:
        yield from (str(int(number) + more) for number in literals.numbers for more in (0, 1, -1))
    if any(call.startswith(_OF_LENGTH) for call in literals.calls):
        for number in literals.numbers:
            for length in (int(number), int(number) + 1, int(number) - 1):
                if 0 <= length <= _LONGEST:
                    yield "x" * length
                    yield ",".join(["x"] * length)


def _together(pieces: Iterable[str]) -> Iterator[str]:
    """Yield joined strings, which may match two or three conditions at once."""
    several = list(dict.fromkeys(pieces))[:_MOST_PIECES]
    for first, second in permutations(several, 2):
        yield first + second
    yield from ("".join(three) for three in permutations(several[:_MOST_IN_THREES], 3))


def _members(all_literals: Iterable[_Literals]) -> list[str]:
    return list(
        dict.fromkeys(text for literals in all_literals if literals.lists for text in literals.texts)
    )


def _lists(wanted: Sequence[str], unwanted: Sequence[str]) -> Iterator[Any]:
    """Yield string lists and ClassAd lists: every subset of a few members, else the most likely ones."""
    several = list(dict.fromkeys((*wanted, *unwanted)))
    wanted = [one for one in wanted if one not in unwanted]
    chosen: list[Sequence[str]] = [some for some in (wanted, wanted, several) if some]
    if len(several) <= _MOST_MEMBERS:
        chosen += [some for n in range(1, len(several) + 1) for some in combinations(several, n)]
    else:
        chosen += [[one for one in several if one != left] for left in several[:_MOST_WORDS]]
    for some in chosen:
        yield ",".join(some)
        yield list(some)


def _fits(value: Any, like: Any) -> bool:
    """Return whether the value has the type of `like`; an integer fits a real, not vice versa."""
    if value is None or like is None:
        return True
    if isinstance(like, bool) or isinstance(value, bool):
        return isinstance(like, bool) and isinstance(value, bool)
    if _is_number(like):
        return _is_number(value) and isinstance(value, int | type(like))
    return isinstance(value, type(like))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _distinct(values: Iterable[Any]) -> Iterator[Any]:
    """Yield each value once. True, 1 and 1.0 are equal in Python, but not in ClassAds."""
    seen: set[tuple[type, str]] = set()
    for value in values:
        if (key := (type(value), repr(value))) not in seen:
            seen.add(key)
            yield value


def _plain(word: str) -> str:
    """Return the value of a string literal; rare escapes are not supported."""
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), word[1:-1])


def _number(word: str) -> float:
    return int(word) if word.isdigit() else float(word)


def literal(value: Any) -> str:
    """Format a value as a ClassAd literal."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "{" + ", ".join(literal(one) for one in value) + "}"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def describe(values: Mapping[str, Any]) -> str:
    """Describe attributes in words, for example "JobPrio 1 and no ProjectName"."""
    rows = [f"no {name}" if value is None else f"{name} {literal(value)}" for name, value in values.items()]
    return " and ".join(filter(None, [", ".join(rows[:-1]), rows[-1]])) if rows else ""
