"""A Start evaluated by HTCondor's own ClassAd library, as a startd does when a job asks for it.

MY is the worker's ad and TARGET the job's; a name without either is the worker's if its ad has it,
else the job's. (HTCondor's manual, "Evaluation Semantics" of ClassAds.)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from bakery.userdata.matchmaking import language
from bakery.userdata.matchmaking.samples import JOB, WORKER, Expression
from bakery.userdata.matchmaking.suggestions import TIME
from provisioner.errors import BadInput

if TYPE_CHECKING:
    import classad2  # type: ignore[import-untyped]  # the wheel has no types

Answer = Literal["yes", "no", "undefined", "error"]
NOTHING: Mapping[str, Any] = MappingProxyType({})

_CONFIG = "CONDOR_CONFIG"
# Known to daemons only; eval() reads names that we do not see.
_OF_DAEMONS = (
    "stringlist", "split", "user", "env", "mergeenv", "listtoargs", "argstolist", "eval", "countmatches"
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A job and a worker, by what each has that is not as in the samples; None: it has it not."""

    job: Mapping[str, Any] = field(default_factory=dict)
    worker: Mapping[str, Any] = field(default_factory=dict)


PLAIN = Pair()


@lru_cache(maxsize=512)  # the library keeps a little of each text for ever
def parsed(text: str) -> classad2.ExprTree:
    """Raises BadInput unless it is one whole expression, bare and in parentheses.

    Both, because the parser drops some tails silently: `True; x` bare, and `A) || (B` in parentheses.
    """
    if not text.strip():
        raise BadInput(
            "Start is empty, and an empty Start takes everybody's jobs.",
            "Say whose jobs: --project TG-ABC123.",
        )
    import classad2

    if _needs_daemons(text):
        with _NoSettingLeft():
            import htcondor2  # type: ignore[import-untyped]  # noqa: F401  # no types; for its effect
    try:
        classad2.ExprTree(text)
        return classad2.ExprTree(f"({text})")
    except classad2.ClassAdException:
        raise BadInput(
            f"Start is no expression to HTCondor: {text}",
            'Compare like this: TARGET.ProjectName == "TG-ABC123", and join by && and ||.',
        ) from None


def _needs_daemons(text: str) -> bool:
    """Does it mean to a daemon what it does not mean to the library alone?

    To look for a name in two ads, and some functions, is what a daemon adds. It takes htcondor2
    20 ms to load, which a Start of TARGET.ProjectName alone need not pay.
    """
    if any(name.startswith(_OF_DAEMONS) for name in language.functions(text)):
        return True
    return not language.is_scoped(text) or any(
        one.name.casefold() == TIME for one in language.references(text)
    )


class _NoSettingLeft:
    """htcondor2 sets CONDOR_CONFIG for every child of ours, whoever imports it.

    We do, for what daemons know; classad2 does if a value is an ad.
    """

    def __enter__(self) -> None:
        self._before = _CONFIG in os.environ

    def __exit__(self, *_: object) -> None:
        if not self._before:
            os.environ.pop(_CONFIG, None)


def value(expression: classad2.ExprTree, pair: Pair = PLAIN) -> Any:
    """What the library makes of it: a Python value, or classad2.Value.Undefined or .Error."""
    import classad2

    worker, job = _ads()
    _put(worker, pair.worker)
    _put(job, pair.job)
    try:
        return _evaluated(expression, worker, job)
    except classad2.ClassAdException:
        return classad2.Value.Error
    finally:
        _put(worker, {name: WORKER.get(name) for name in pair.worker})
        _put(job, {name: JOB.get(name) for name in pair.job})


def is_too_deep(expression: classad2.ExprTree) -> bool:
    """Does the library give up? That of 25.14.1 goes down 396 operators; 23.9.6 evaluated a thousand."""
    import classad2

    try:
        _evaluated(expression, *_ads())
    except classad2.ClassAdException:
        return True
    return False


def _evaluated(expression: classad2.ExprTree, worker: classad2.ClassAd, job: classad2.ClassAd) -> Any:
    with _NoSettingLeft():
        return expression.eval(worker, job)


def answer(expression: classad2.ExprTree, pair: Pair = PLAIN) -> Answer:
    """What a startd makes of it: only true, or a number that is not 0, takes the job."""
    import classad2

    found = value(expression, pair)
    if found is classad2.Value.Undefined:
        return "undefined"
    if found is classad2.Value.Error or not isinstance(found, bool | int | float):
        return "error"
    return "yes" if found else "no"


def takes(expression: classad2.ExprTree, pair: Pair = PLAIN) -> bool:
    return answer(expression, pair) == "yes"


@cache  # made once: the library keeps a little of each ad for ever
def _ads() -> tuple[classad2.ClassAd, classad2.ClassAd]:
    import classad2

    worker, job = classad2.ClassAd(), classad2.ClassAd()
    _put(worker, WORKER)
    _put(job, JOB)
    return worker, job


def _put(ad: classad2.ClassAd, values: Mapping[str, Any]) -> None:
    for name, one in values.items():
        if one is not None:
            ad[name] = piece(one.text) if isinstance(one, Expression) else one
        elif name in ad:
            del ad[name]


@lru_cache(maxsize=4096)
def piece(text: str) -> classad2.ExprTree:
    """A piece of what `parsed` has found to be an expression."""
    import classad2

    return classad2.ExprTree(text)
