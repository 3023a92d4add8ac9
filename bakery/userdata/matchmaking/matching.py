"""Evaluate a Start with HTCondor's own ClassAd library, as a startd does for a job.

Where the library cannot be installed (a browser), evaluation.py evaluates what it can, and raises
Unsupported for the rest.

MY is the ad of the worker and TARGET that of the job. A name without a scope is looked up in the ad of the
worker, then in that of the job (HTCondor's manual, "Evaluation Semantics" of ClassAds).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.util import find_spec
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any, Literal

from bakery.userdata.matchmaking import evaluation, language
from bakery.userdata.matchmaking.evaluation import Value
from bakery.userdata.matchmaking.samples import JOB, WORKER, Expression
from bakery.userdata.matchmaking.suggestions import TIME
from provisioner.errors import BadInput

if TYPE_CHECKING:
    import classad2  # type: ignore[import-untyped]  # the wheel has no types

Answer = Literal["yes", "no", "undefined", "error"]
NO_CHANGES: Mapping[str, Any] = MappingProxyType({})

_CONFIG = "CONDOR_CONFIG"
_VALUES: Mapping[str, Value] = {"Undefined": Value.UNDEFINED, "Error": Value.ERROR}
# Only daemons define these; eval() evaluates names that are not visible in the text.
_OF_DAEMONS = (
    "stringlist", "split", "user", "env", "mergeenv", "listtoargs", "argstolist", "eval", "countmatches"
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A job and a worker: the attributes that differ from the samples. None is a missing attribute."""

    job: Mapping[str, Any] = field(default_factory=dict)
    worker: Mapping[str, Any] = field(default_factory=dict)


SAMPLES = Pair()


@cache
def has_library() -> bool:
    """Return whether HTCondor's library is installed."""
    return find_spec("classad2") is not None


@lru_cache(maxsize=512)  # the library never frees some memory of each text
def parse(text: str) -> classad2.ExprTree | evaluation.Parsed:
    """Parse an expression. Raises BadInput unless it is valid both bare and in parentheses.

    The parser silently drops some tails: `True; x` is valid bare, and `A) || (B` in parentheses.
    """
    if not text.strip():
        raise BadInput(
            "Start is empty, and an empty Start accepts the jobs of all users.",
            "Select jobs, for example with --project TG-ABC123.",
        )
    if not has_library():
        return _parsed_without_library(text)
    import classad2

    if _needs_daemons(text):
        library()
    try:
        classad2.ExprTree(text)
        return classad2.ExprTree(f"({text})")
    except classad2.ClassAdException:
        raise _invalid(text) from None


def _parsed_without_library(text: str) -> evaluation.Parsed:
    """Raises BadInput. What only the library can judge is returned; its evaluation raises Unsupported."""
    try:
        return evaluation.parsed(text)
    except evaluation.Invalid:
        raise _invalid(text) from None
    except evaluation.Unsupported:
        return evaluation.unknown(text)


def _invalid(text: str) -> BadInput:
    return BadInput(
        f"Start is not a valid ClassAd expression: {text}",
        'Compare as in TARGET.ProjectName == "TG-ABC123"; combine conditions with && and ||.',
    )


def _needs_daemons(text: str) -> bool:
    """Return whether a daemon evaluates the expression differently from the library alone.

    Daemons add the lookup of a name in two ads, and some functions. Loading htcondor2, which adds both,
    takes 20 ms, so a Start such as TARGET.ProjectName == "x" does without.
    """
    if any(name.startswith(_OF_DAEMONS) for name in language.functions(text)):
        return True
    return not language.is_scoped(text) or any(
        one.name.casefold() == TIME for one in language.references(text)
    )


def library() -> ModuleType:
    """Import classad2 with the functions of daemons, and leave the environment as it was."""
    with _KeepEnvironment():
        import classad2
        import htcondor2  # type: ignore[import-untyped]  # noqa: F401  # no types; for its effect
    return classad2  # type: ignore[no-any-return]  # the wheel has no types


class _KeepEnvironment:
    """Remove the CONDOR_CONFIG that htcondor2 sets when it is imported, and that child processes inherit.

    This module imports htcondor2 for the functions of daemons; classad2 imports it if a value is an ad.
    """

    def __enter__(self) -> None:
        self._before = _CONFIG in os.environ

    def __exit__(self, *_: object) -> None:
        if not self._before:
            os.environ.pop(_CONFIG, None)


def value(expression: classad2.ExprTree | evaluation.Parsed, pair: Pair = SAMPLES) -> Any:
    """Evaluate to a Python value, or to Value.UNDEFINED or .ERROR."""
    if isinstance(expression, evaluation.Parsed):
        return evaluation.value(expression, {**WORKER, **pair.worker}, {**JOB, **pair.job})
    import classad2

    worker, job = _ads()
    _put(worker, pair.worker)
    _put(job, pair.job)
    try:
        found = _evaluated(expression, worker, job)
        return _VALUES[found.name] if isinstance(found, classad2.Value) else found
    except classad2.ClassAdException:
        return Value.ERROR
    finally:
        _put(worker, {name: WORKER.get(name) for name in pair.worker})
        _put(job, {name: JOB.get(name) for name in pair.job})


def is_too_deep(expression: classad2.ExprTree | evaluation.Parsed) -> bool:
    """Return whether the library fails: 25.14.1 evaluates 396 nested operators, 23.9.6 a thousand."""
    if isinstance(expression, evaluation.Parsed):
        return False
    import classad2

    try:
        _evaluated(expression, *_ads())
    except classad2.ClassAdException:
        return True
    return False


def _evaluated(expression: classad2.ExprTree, worker: classad2.ClassAd, job: classad2.ClassAd) -> Any:
    with _KeepEnvironment():
        return expression.eval(worker, job)


def answer(expression: classad2.ExprTree | evaluation.Parsed, pair: Pair = SAMPLES) -> Answer:
    """Evaluate as a startd does: only true, or a number other than 0, accepts the job."""
    found = value(expression, pair)
    if found is Value.UNDEFINED:
        return "undefined"
    if not isinstance(found, bool | int | float):
        return "error"
    return "yes" if found else "no"


def accepts(expression: classad2.ExprTree | evaluation.Parsed, pair: Pair = SAMPLES) -> bool:
    """Return whether the expression accepts the job."""
    return answer(expression, pair) == "yes"


@cache  # made once: the library never frees some memory of each ad
def _ads() -> tuple[classad2.ClassAd, classad2.ClassAd]:
    import classad2

    worker, job = classad2.ClassAd(), classad2.ClassAd()
    _put(worker, WORKER)
    _put(job, JOB)
    return worker, job


def _put(ad: classad2.ClassAd, values: Mapping[str, Any]) -> None:
    for name, one in values.items():
        if one is not None:
            ad[name] = parsed_part(one.text) if isinstance(one, Expression) else one
        elif name in ad:
            del ad[name]


@lru_cache(maxsize=4096)
def parsed_part(text: str) -> classad2.ExprTree | evaluation.Parsed:
    """Parse a part of an expression that `parse` has accepted."""
    if not has_library():
        return evaluation.parsed(text)
    import classad2

    return classad2.ExprTree(text)
