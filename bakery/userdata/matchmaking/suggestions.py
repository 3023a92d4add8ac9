"""Which values of an attribute are worth trying, by what an expression compares it with. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise, permutations
from typing import Any, Literal

from bakery.userdata.matchmaking import patterns, samples
from bakery.userdata.matchmaking.attributes import JOB, MACHINE
from bakery.userdata.matchmaking.language import Node, nodes
from bakery.userdata.matchmaking.samples import Expression, spelled

Side = Literal["job", "worker"]
TIME = "currenttime"  # HTCondor's old name for time(); it looks like an attribute

_MOST_WORDS = 64  # of one text, taken as a list
_MOST_PIECES = 12  # that are put together in pairs
_MOST_IN_THREES = 6
_MOST_MEMBERS = 5  # of which every selection is tried
_LONGEST = 300  # of texts made to have some length
_NUMBERS = (0, 1, 2, 10, 100, 1000, 10**6, 10**9, -1)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_OF_PATTERNS = ("regex", "stringlistregexp")
_OF_LENGTH = ("size", "strlen", "length", "stringlistsize")


@dataclass(frozen=True)
class Variable:
    """An attribute of the job or of the worker; `name` is in lower case, for ClassAds do not heed case."""

    side: Side
    name: str
    written: str = field(default="", compare=False)  # as HTCondor writes it, or whoever wrote the Start


def variable_of(scope: str, name: str) -> Variable:
    """Whose attribute a name is: without a scope the worker's, if a worker has it of its own."""
    folded = name.casefold()
    if scope == "my" or (not scope and _is_workers_own(folded)):
        return Variable("worker", folded, spelled(MACHINE).get(folded, name))
    return Variable("job", folded, spelled(JOB).get(folded, name))


def _is_workers_own(folded: str) -> bool:
    """By the ad of a real one; or it may be, and is no job's."""
    return folded in spelled(samples.WORKERS) or (
        folded in spelled(MACHINE) and folded not in spelled(JOB) and folded != TIME
    )


def usual(variable: Variable) -> Any:
    """Its value in the samples; None: not there."""
    return (samples.JOB if variable.side == "job" else samples.WORKER).get(variable.written)


def example(variable: Variable) -> Any:
    """A value of its type, if we know that; None if not."""
    some = samples.SOME_JOBS if variable.side == "job" else samples.SOME_WORKERS
    have = usual(variable)
    return some.get(variable.written) if have is None else have


def is_free(variable: Variable) -> bool:
    """May it be otherwise than in the samples?"""
    if isinstance(usual(variable), Expression) or variable.name == TIME:
        return False
    if not variable.written.isidentifier():  # a text in the wrong quotes; nobody has such an attribute
        return False
    always = samples.ALWAYS_SO if variable.side == "worker" else ("MyType", "TargetType")
    return variable.written not in always


def pool(
    variable: Variable, wished: Iterable[Node], unwished: Iterable[Node], equal: Sequence[Any]
) -> tuple[Any, ...]:
    """All values worth trying, the most usual ones first.

    `wished` are the conditions on it that are to be true, `unwished` the others. `equal` are values for
    which two sides of a comparison are equal.
    """
    found = list(_common(variable))
    ours, others = [_clues(leaf) for leaf in wished], [_clues(leaf) for leaf in unwished]
    clues = [*ours, *others]
    found += _around(number for clue in clues for number in clue.numbers)
    found += [*_around(one for one in equal if _is_number(one)), *equal]
    found += _between([one for one in found if _is_number(one)])
    found += [text for clue in clues for text in _of_texts(clue)]
    found += _lists(_members(ours), _members(others))
    found += _together(piece for clue in clues for piece in clue.pieces)
    found += [text + "x" for clue in clues for text in clue.texts]
    found += [True, False, "x", *_NUMBERS]
    return tuple(_distinct(one for one in found if _fits(one, example(variable))))


@dataclass(frozen=True)
class _Clues:
    """What stands in one condition: its texts, numbers, and texts that its patterns are found in."""

    texts: tuple[str, ...]
    numbers: tuple[float, ...]
    pieces: tuple[str, ...]
    calls: frozenset[str]

    @property
    def lists(self) -> bool:
        return any(word in call for call in self.calls for word in ("list", "member", "any", "all"))


def _clues(leaf: Node) -> _Clues:
    inside = list(nodes(leaf))
    calls = frozenset(one.word for one in inside if one.kind == "call")
    values = [one.word for one in inside if one.kind == "value"]
    texts = tuple(_plain(word) for word in values if word.startswith('"'))
    numbers = tuple(_number(word) for word in values if word[0].isdigit() or word[0] == ".")
    pieces = texts if calls else ()
    if any(call.startswith(_OF_PATTERNS) for call in calls):
        pieces = tuple(made for text in texts for made in patterns.examples(text))
    return _Clues(texts, numbers, pieces, calls)


def _common(variable: Variable) -> Iterator[Any]:
    """As in the sample, as in others, and without it if there are such ads."""
    yield usual(variable)
    if (known := example(variable)) is not None:
        yield known


def _around(numbers: Iterable[float]) -> Iterator[float]:
    """Each number and its neighbours; whole ones first, which every attribute of numbers can have."""
    for one in numbers:
        for number in (one, -one):
            yield from (int(number) + more for more in (0, 1, -1))
            yield from (number + more for more in (0, 1, -1))


def _between(numbers: Sequence[float]) -> list[Any]:
    ordered = sorted(set(numbers))
    halves = [(a + b) / 2 for a, b in pairwise(ordered)]
    return [*(int(half) for half in halves), *halves]


def _of_texts(clue: _Clues) -> Iterator[str]:
    for text in clue.texts:
        yield text
        words = text.replace(",", " ").split()
        yield from words[:_MOST_WORDS]
    for piece in clue.pieces:
        yield from (piece, piece + "x", "x" + piece, "x" + piece + "x")
    if clue.calls:
        yield from (str(int(number) + more) for number in clue.numbers for more in (0, 1, -1))
    if any(call.startswith(_OF_LENGTH) for call in clue.calls):
        for number in clue.numbers:
            for length in (int(number), int(number) + 1, int(number) - 1):
                if 0 <= length <= _LONGEST:
                    yield "x" * length
                    yield ",".join(["x"] * length)


def _together(pieces: Iterable[str]) -> Iterator[str]:
    """For a text that has to please two or three conditions at once, or one with two texts."""
    several = list(dict.fromkeys(pieces))[:_MOST_PIECES]
    for first, second in permutations(several, 2):
        yield first + second
    yield from ("".join(three) for three in permutations(several[:_MOST_IN_THREES], 3))


def _members(clues: Iterable[_Clues]) -> list[str]:
    return list(dict.fromkeys(text for clue in clues if clue.lists for text in clue.texts))


def _lists(wished: Sequence[str], unwished: Sequence[str]) -> Iterator[Any]:
    """Both as HTCondor's string lists and as lists; every selection of a few, else the most likely."""
    several = list(dict.fromkeys((*wished, *unwished)))
    wanted = [one for one in wished if one not in unwished]
    chosen: list[Sequence[str]] = [some for some in (wanted, wished, several) if some]
    if len(several) <= _MOST_MEMBERS:
        chosen += [some for n in range(1, len(several) + 1) for some in combinations(several, n)]
    else:
        chosen += [[one for one in several if one != left] for left in several[:_MOST_WORDS]]
    for some in chosen:
        yield ",".join(some)
        yield list(some)


def _fits(value: Any, like: Any) -> bool:
    """Of the type that the attribute is known to have; a whole number where all are whole."""
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
    """Python takes True for 1 and 1.0; ClassAds do not."""
    seen: set[tuple[type, str]] = set()
    for value in values:
        if (key := (type(value), repr(value))) not in seen:
            seen.add(key)
            yield value


def _plain(word: str) -> str:
    """What a text in quotes stands for; rare escapes are left to chance."""
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), word[1:-1])


def _number(word: str) -> float:
    return int(word) if word.isdigit() else float(word)


def shown(value: Any) -> str:
    """As one writes it in an expression."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "{" + ", ".join(shown(one) for one in value) + "}"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def described(values: Mapping[str, Any]) -> str:
    """A JobPrio of 1, …: "JobPrio 1 and no ProjectName"."""
    rows = [f"no {name}" if value is None else f"{name} {shown(value)}" for name, value in values.items()]
    return " and ".join(filter(None, [", ".join(rows[:-1]), rows[-1]])) if rows else ""
