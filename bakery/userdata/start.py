"""Whose jobs would a Start accept? Tried by HTCondor's library on samples and on jobs made to fit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from bakery.userdata.findings import Finding, error, warning
from bakery.userdata.matchmaking import fitting, samples, undecided
from bakery.userdata.matchmaking.fitting import Search
from bakery.userdata.matchmaking.language import Reference, references
from bakery.userdata.matchmaking.matching import (
    NOTHING,
    PLAIN,
    Answer,
    Pair,
    answer,
    is_too_deep,
    parsed,
    takes,
)
from bakery.userdata.matchmaking.suggestions import Variable, described, shown
from bakery.userdata.matchmaking.undecided import Case

__all__ = ["NAMES", "PLACEHOLDER", "Match", "dry_match", "findings", "parsed"]

NAMES = (
    "accepts-everyone",
    "accepts-nobody",
    "undefined-start",
    "unknown-attribute",
    "failing-start",
    "unusual-project",
    "never-in-ospool",
)
OTHER_PROJECT = "TG-SOMEBODY-ELSE"
PLACEHOLDER = r"TG-(N+|X{3,}|0+)"
_ALLOCATION = r"[A-Za-z]{3}[0-9]{6}"
# Compiled where they are used: a Start of projects and owners alone needs none of them.
_TEXT = r'"((?:[^"\\]|\\.)*)"'
_BARE_WORD = r"[=!]=\s*([A-Za-z]\w*-\w+)"
_PROJECT, _OWNER, _USER = (
    Variable("job", name.casefold(), name) for name in ("ProjectName", "Owner", "User")
)
_PATIENCE = 1000  # evaluations for each project and owner
_SECONDS = 1.0  # of CPU time, for all that is tried
_MOST_NAMED = 3  # attributes, and values of each, in a message
_STRANGERS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (f"a job of project {OTHER_PROJECT}", {"ProjectName": OTHER_PROJECT}),
    ("a job of no project", {}),
)


@dataclass(frozen=True)
class Match:
    """What the Start says to one sample job."""

    title: str
    answer: Answer


def dry_match(
    start: str, projects: Sequence[str] = (), owners: Sequence[str] = (), *, narrowed: bool = True
) -> tuple[Match, ...]:
    """The Start tried on jobs it should take, on another project's and on one without a project.

    Where conditions narrow it, the jobs of the projects and owners are made to fulfil them.
    """
    with fitting.within(_SECONDS):
        return _dry_match(start, projects, owners, narrowed)


def _dry_match(
    start: str, projects: Sequence[str], owners: Sequence[str], narrowed: bool
) -> tuple[Match, ...]:
    wanted = [_named(start, f"a job of project {one}", {_PROJECT: one}, narrowed) for one in projects]
    wanted += [_named(start, f"a job of owner {one}", _owned(one), narrowed) for one in owners]
    worker = _worker(start) if narrowed else NOTHING
    strangers = [Match(title, answer(parsed(start), Pair(job, worker))) for title, job in _STRANGERS]
    return (*(wanted or [_named(start, "a job made to fit", {}, True)]), *strangers)


def _worker(start: str) -> Mapping[str, Any]:
    """What a worker has to be like for this Start to take any job, beside the sample."""
    pair = _fitting(start)
    # One that has what no worker has by itself is not what anybody will start.
    return pair.worker if pair and samples.WORKERS.issuperset(pair.worker) else NOTHING


@lru_cache(maxsize=64)
def _fitting(start: str) -> Pair | None:
    return fitting.first(Search(start))


def _named(start: str, title: str, pinned: Mapping[Variable, Any], narrowed: bool) -> Match:
    plain = Pair(job={variable.written: one for variable, one in pinned.items()})
    pair = (_fulfilling(start, plain, pinned) if narrowed else None) or plain
    return Match(title + _with(pair, plain), answer(parsed(start), pair))


def _fulfilling(start: str, plain: Pair, pinned: Mapping[Variable, Any]) -> Pair | None:
    """One of this project or owner that the Start takes: as it is, like the one that fits, or searched."""
    fit = _fitting(start)
    if fit is None or takes(parsed(start), plain):
        return None
    if pair := fitting.first(Search(start, pinned, patience=_PATIENCE)):
        return pair
    alike = Pair({**fit.job, **plain.job}, fit.worker)
    return alike if takes(parsed(start), alike) else None


def _owned(owner: str) -> Mapping[Variable, Any]:
    return {_OWNER: owner, _USER: f"{owner}@access.example"}


def _with(pair: Pair, plain: Pair = PLAIN) -> str:
    """What is unusual in it, to be put behind its name."""
    job = described({name: one for name, one in pair.job.items() if name not in plain.job})
    worker = described(pair.worker)
    return (f" with {job}" if job else "") + (f", on a worker with {worker}" if worker else "")


def findings(
    start: str,
    *,
    conditions: Sequence[str] = (),
    projects: Sequence[str] = (),
    anyone: bool = False,
    ospool: bool = False,
) -> list[Finding]:
    """What is to be said of a Start; `conditions` are the parts that the user wrote.

    `ospool`: is it for a worker of the OSPool, where more holds for every job?
    One of projects and owners alone is ours, and as it should be.
    """
    unusual = [finding for project in projects for finding in _unusual(project)]
    if anyone or (projects and not conditions):
        return unusual
    with fitting.within(_SECONDS):
        return [*unusual, *_tried(start, ospool)]


def _tried(start: str, ospool: bool) -> Iterator[Finding]:
    parsed(start)
    strange = list(_strange(start))
    yield from _unknown(start, strange)
    yield from _everyone(start)
    nobody = list(_nobody(start))
    yield from nobody
    if ospool:
        yield from _outside(start)
    if not nobody:  # that says why already
        told = {one.name.casefold() for one in strange}
        for case in undecided.cases(start):
            if case.attribute.name.casefold() not in told:
                yield _undefined(case)


def _unusual(project: str) -> Iterator[Finding]:
    if re.fullmatch(_ALLOCATION, project):
        yield warning(
            "unusual-project",
            f"ACCESS and XSEDE projects begin with TG-, this one does not: {project}.",
            f"Perhaps you mean --project TG-{project.upper()}.",
        )
    elif re.fullmatch(PLACEHOLDER, project):
        yield warning(
            "unusual-project", f"{project} is the project of an example.", "Put your own in its place."
        )


def _strange(start: str) -> Iterator[Reference]:
    """What neither jobs nor workers have, or not those whose it is said to be; each name once."""
    seen: set[str] = set()
    for one in references(start):
        if one.name.casefold() not in {*_folded(_known(one.scope)), *seen}:
            seen.add(one.name.casefold())
            yield one


def _known(scope: str) -> frozenset[str]:
    from bakery.userdata.matchmaking.attributes import JOB, MACHINE

    return {"target": JOB, "my": MACHINE}.get(scope, JOB | MACHINE)


def _unknown(start: str, strange: Sequence[Reference]) -> Iterator[Finding]:
    bare = re.search(_BARE_WORD, re.sub(_TEXT, '""', start))
    if bare:
        yield warning(
            "unknown-attribute",
            f"{bare[1]} is read as a subtraction, because it has no quotes.",
            f'Write "{bare[1]}" in double quotes.',
        )
    for one in strange:
        if not (bare and one.name in bare[1].split("-")):
            yield _stranger(one)


def _stranger(one: Reference) -> Finding:
    whose, right = ("Machines", "TARGET") if one.scope == "my" else ("Jobs", "MY")
    others = _known({"target": "my", "my": "target"}.get(one.scope, ""))
    if one.name.casefold() in _folded(others):
        hint = f"Did you mean {right}.{one.name}?"
    elif not one.name.isidentifier():
        hint = "Text stands in double quotes; single quotes quote the name of an attribute."
    else:
        hint = _nearest(one.name, _known(one.scope))
    return warning("unknown-attribute", f"{whose} have no attribute {one.name} by themselves.", hint)


def _nearest(name: str, known: frozenset[str]) -> str:
    from difflib import get_close_matches

    by_folded = {word.casefold(): word for word in sorted(known)}
    near = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.7)
    if near:
        return f"Did you mean {by_folded[near[0]]}?"
    return "It works only if the jobs' submitters set it (+Name in the submit file)."


def _everyone(start: str) -> Iterator[Finding]:
    worker = _worker(start)
    if all(takes(parsed(start), Pair(job, worker)) for _, job in _STRANGERS):
        yield warning(
            "accepts-everyone",
            "The Start takes jobs of any project and any owner.",
            "Add --project TG-ABC123, or say --anyone if that is meant.",
        )


def _nobody(start: str) -> Iterator[Finding]:
    if _fitting(start) is not None:
        return
    search = Search(start)
    if is_too_deep(parsed(start)):
        yield warning(
            "failing-start",
            "The Start cannot be tried: it is nested too deeply for HTCondor 25, which would take no job.",
            'Instead of many ||, write stringListMember(TARGET.Owner, "ann,bob").',
        )
    elif failing := fitting.always_fails(search):
        yield error(
            "failing-start",
            f"The Start takes no sample job, because it ends in an error: {failing}.",
            "Look for a misspelled function, or for text that is compared with a number.",
        )
    else:
        yield warning("accepts-nobody", *_in_vain(search))


def _in_vain(search: Search) -> tuple[str, str]:
    """What was tried, and which part alone is as hopeless; we do not know that there is no such job."""
    tried = [_values(variable.written, values) for variable, values in search.tried.items()]
    if not tried:
        return (
            "The Start takes no job: it does not depend on the job, and is not true.",
            "Say whose jobs: --project TG-ABC123.",
        )
    more = ["others"] if len(tried) > _MOST_NAMED else []
    named = "; ".join([*tried[:_MOST_NAMED], *more])
    if fitting.is_over():
        message = f"No job was found in time that the Start takes. Tried were some of {named}."
        return message, "Perhaps there is one: see whether a regexp() in it could be simpler."
    message = f"No job was found that the Start takes. Tried were {named}."
    parts = fitting.parts(search.text)
    alone = [part for part in parts if _fitting(part) is None]
    if alone and len(parts) > 1:
        return message, f"None was found for this part alone either: {alone[0]}."
    if len(parts) > 1:
        return message, "One was found for each of its parts alone: see whether a job can fulfil them all."
    return message, "See whether a job can have what it asks for."


def _values(name: str, values: Sequence[Any]) -> str:
    some = [shown(one) for one in values[: _MOST_NAMED + 1]]
    more = [f"{len(values) - len(some)} more"] if len(values) > len(some) else []
    listed = [*some, *more]
    return f"{name} {', '.join(listed[:-1])} and {listed[-1]}" if len(listed) > 1 else f"{name} {listed[0]}"


def _outside(start: str) -> Iterator[Finding]:
    """What the OSPool's machines demand of every job, and no job that the Start takes fulfils."""
    from bakery.userdata import ospool

    pair = _fitting(start)
    if pair is None:
        return
    usual = Pair({"ProjectName": "TG-SAMPLE", **pair.job}, pair.worker)
    # Those that depend on the job alone: sites, MPI and the like are as the worker is.
    demands = {
        guard: _both(start, guard, "MY.Is_ITB_Site =!= True")
        for guard in (ospool.guards()[name] for name in ("PROJECT", "ITB"))
    }
    for guard, both in demands.items():
        if not takes(parsed(both), usual) and fitting.first(Search(both)) is None and not fitting.is_over():
            yield warning(
                "never-in-ospool",
                f"No job of the OSPool was found that the Start takes: there, it also needs {guard}.",
                "Leave out what contradicts that, or name another pool by --pool.",
            )


def _both(*parts: str) -> str:
    return " && ".join(f"( {part} )" for part in parts)


def _undefined(case: Case) -> Finding:
    name = case.attribute.name.casefold()
    others = described({one: have for one, have in case.job.job.items() if one.casefold() != name})
    job = f"A job without {case.attribute.name}" + (f" and with {others}" if others else "")
    if case.taken:
        message = f"{job} is taken too: for it, {case.part} is {case.value}."
    else:
        message = f"{job} is not taken: for it, {case.part} is UNDEFINED, and so is its opposite."
    return warning(
        "undefined-start",
        message,
        f"Say which is meant: ({case.attribute} =?= undefined || …) takes it,"
        f" ({case.attribute} =!= undefined && …) does not.",
    )


@cache
def _folded(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.casefold() for name in names)
