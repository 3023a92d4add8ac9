"""Check which jobs a Start accepts: HTCondor's library evaluates it on sample and generated jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from bakery.userdata.findings import Finding, error, note, warning
from bakery.userdata.matchmaking import fitting, samples, undecided
from bakery.userdata.matchmaking.evaluation import Unsupported
from bakery.userdata.matchmaking.fitting import Search
from bakery.userdata.matchmaking.language import Reference, references
from bakery.userdata.matchmaking.matching import (
    NO_CHANGES,
    SAMPLES,
    Answer,
    Pair,
    accepts,
    answer,
    is_too_deep,
    parse,
)
from bakery.userdata.matchmaking.suggestions import Variable, describe, literal
from bakery.userdata.matchmaking.undecided import Case

__all__ = ["NAMES", "PLACEHOLDER", "Match", "findings", "match_samples", "parse"]

NAMES = (
    "accepts-everyone",
    "accepts-nobody",
    "undefined-start",
    "unknown-attribute",
    "failing-start",
    "unusual-project",
    "never-in-ospool",
    "unchecked-start",
)
OTHER_PROJECT = "TG-SOMEBODY-ELSE"
PLACEHOLDER = r"TG-(N+|X{3,}|0+)"
_ALLOCATION = r"[A-Za-z]{3}[0-9]{6}"
# Not compiled here: a Start of projects and owners alone needs none of them.
_TEXT = r'"((?:[^"\\]|\\.)*)"'
_BARE_WORD = r"[=!]=\s*([A-Za-z]\w*-\w+)"
_PROJECT, _OWNER, _USER = (
    Variable("job", name.casefold(), name) for name in ("ProjectName", "Owner", "User")
)
_MAX_EVALUATIONS = 1000  # evaluations for each project and owner
_SECONDS = 1.0  # of CPU time, for all that is tried
_MOST_NAMED = 3  # attributes, and values of each, in a message
_OTHER_JOBS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    (f"a job of project {OTHER_PROJECT}", {"ProjectName": OTHER_PROJECT}),
    ("a job without a project", {}),
)


@dataclass(frozen=True)
class Match:
    """The result of the Start for one sample job."""

    title: str
    answer: Answer


def match_samples(
    start: str, projects: Sequence[str] = (), owners: Sequence[str] = (), *, narrowed: bool = True
) -> tuple[Match, ...]:
    """Evaluate the Start on jobs that it should accept, of another project, and without a project.

    With `narrowed` (the Start has conditions), the jobs are generated so that they fulfil the conditions.
    """
    with fitting.time_limit(_SECONDS):
        try:
            return _match_samples(start, projects, owners, narrowed)
        except Unsupported:  # findings() reports it
            return ()


def _match_samples(
    start: str, projects: Sequence[str], owners: Sequence[str], narrowed: bool
) -> tuple[Match, ...]:
    wanted = [_named(start, f"a job of project {one}", {_PROJECT: one}, narrowed) for one in projects]
    wanted += [_named(start, f"a job of owner {one}", _owned(one), narrowed) for one in owners]
    worker = _worker(start) if narrowed else NO_CHANGES
    others = [Match(title, answer(parse(start), Pair(job, worker))) for title, job in _OTHER_JOBS]
    return (*(wanted or [_named(start, "a generated job", {}, True)]), *others)


def _worker(start: str) -> Mapping[str, Any]:
    """Return the attributes that a worker needs, beside those of the sample, to accept any job."""
    pair = _fitting(start)
    # Ignore a worker with attributes that no worker advertises.
    return pair.worker if pair and samples.WORKER_ATTRIBUTES.issuperset(pair.worker) else NO_CHANGES


@lru_cache(maxsize=64)
def _fitting(start: str) -> Pair | None:
    return fitting.first(Search(start))


def _named(start: str, title: str, fixed: Mapping[Variable, Any], narrowed: bool) -> Match:
    plain = Pair(job={variable.spelling: one for variable, one in fixed.items()})
    pair = (_fulfilling(start, plain, fixed) if narrowed else None) or plain
    return Match(title + _with(pair, plain), answer(parse(start), pair))


def _fulfilling(start: str, plain: Pair, fixed: Mapping[Variable, Any]) -> Pair | None:
    """Return a job of this project or owner that the Start accepts; None if `plain` already is one."""
    fit = _fitting(start)
    if fit is None or accepts(parse(start), plain):
        return None
    if pair := fitting.first(Search(start, fixed, max_evaluations=_MAX_EVALUATIONS)):
        return pair
    alike = Pair({**fit.job, **plain.job}, fit.worker)
    return alike if accepts(parse(start), alike) else None


def _owned(owner: str) -> Mapping[Variable, Any]:
    return {_OWNER: owner, _USER: f"{owner}@access.example"}


def _with(pair: Pair, plain: Pair = SAMPLES) -> str:
    """Return how the pair differs from `plain`, to follow the title of the job."""
    job = describe({name: one for name, one in pair.job.items() if name not in plain.job})
    worker = describe(pair.worker)
    return (f" with {job}" if job else "") + (f", on a worker with {worker}" if worker else "")


def findings(
    start: str,
    *,
    conditions: Sequence[str] = (),
    projects: Sequence[str] = (),
    anyone: bool = False,
    ospool: bool = False,
) -> list[Finding]:
    """Return the findings about a Start; `conditions` are the parts that the user wrote.

    `ospool` says that the worker joins the OSPool, which requires more of every job. A Start of projects
    and owners alone is generated, so only the names of the projects are checked.
    Raises BadInput for a Start that is not an expression.
    """
    unusual = [finding for project in projects for finding in _unusual(project)]
    if anyone or (projects and not conditions):
        return unusual
    with fitting.time_limit(_SECONDS):
        try:
            return [*unusual, *_evaluated(start, ospool)]
        except Unsupported:
            return [*unusual, _not_checked()]


def _not_checked() -> Finding:
    return note(
        "unchecked-start",
        "The expression was not checked by HTCondor, whose library does not run in a browser.",
        "Compare a worker's answer with condor_q -better-analyze, or check it with gen-userdata --check.",
    )


def _evaluated(start: str, ospool: bool) -> Iterator[Finding]:
    parse(start)
    unknown = list(_unknown_references(start))
    yield from _unknown_attributes(start, unknown)
    yield from _accepts_everyone(start)
    accepts_nobody = list(_accepts_nobody(start))
    yield from accepts_nobody
    if ospool:
        yield from _never_in_ospool(start)
    if not accepts_nobody:  # which explains more already
        reported = {one.name.casefold() for one in unknown}
        for case in undecided.cases(start):
            if case.attribute.name.casefold() not in reported:
                yield _undefined(case)


def _unusual(project: str) -> Iterator[Finding]:
    if re.fullmatch(_ALLOCATION, project):
        yield warning(
            "unusual-project",
            f"The names of ACCESS and XSEDE projects begin with TG-, but {project} does not.",
            f"Did you mean --project TG-{project.upper()}?",
        )
    elif re.fullmatch(PLACEHOLDER, project):
        yield warning(
            "unusual-project", f"{project} is a placeholder from an example.", "Use your own project."
        )


def _unknown_references(start: str) -> Iterator[Reference]:
    """Yield each reference to an attribute that jobs and workers, or the one in its scope, do not have."""
    seen: set[str] = set()
    for one in references(start):
        if one.name.casefold() not in {*_folded(_known(one.scope)), *seen}:
            seen.add(one.name.casefold())
            yield one


def _known(scope: str) -> frozenset[str]:
    from bakery.userdata.matchmaking.attributes import JOB, MACHINE

    return {"target": JOB, "my": MACHINE}.get(scope, JOB | MACHINE)


def _unknown_attributes(start: str, unknown: Sequence[Reference]) -> Iterator[Finding]:
    bare = re.search(_BARE_WORD, re.sub(_TEXT, '""', start))
    if bare:
        yield warning(
            "unknown-attribute",
            f"HTCondor reads {bare[1]} as a subtraction, because it has no quotes.",
            f'Write "{bare[1]}" in double quotes.',
        )
    for one in unknown:
        if not (bare and one.name in bare[1].split("-")):
            yield _unknown_attribute(one)


def _unknown_attribute(one: Reference) -> Finding:
    owner, other = ("machines", "TARGET") if one.scope == "my" else ("jobs", "MY")
    others = _known({"target": "my", "my": "target"}.get(one.scope, ""))
    if one.name.casefold() in _folded(others):
        hint = f"Did you mean {other}.{one.name}?"
    elif not one.name.isidentifier():
        hint = "Use double quotes for a string; single quotes are for the name of an attribute."
    else:
        hint = _nearest(one.name, _known(one.scope))
    return warning("unknown-attribute", f"{one.name} is not a standard attribute of {owner}.", hint)


def _nearest(name: str, known: frozenset[str]) -> str:
    from difflib import get_close_matches

    by_folded = {word.casefold(): word for word in sorted(known)}
    near = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.7)
    if near:
        return f"Did you mean {by_folded[near[0]]}?"
    return "It is UNDEFINED unless the submit file sets it (+Name = value)."


def _accepts_everyone(start: str) -> Iterator[Finding]:
    worker = _worker(start)
    if all(accepts(parse(start), Pair(job, worker)) for _, job in _OTHER_JOBS):
        yield warning(
            "accepts-everyone",
            "The Start accepts jobs of any project and any owner.",
            "Add --project TG-ABC123, or use --anyone if this is intended.",
        )


def _accepts_nobody(start: str) -> Iterator[Finding]:
    if _fitting(start) is not None:
        return
    search = Search(start)
    if is_too_deep(parse(start)):
        yield warning(
            "failing-start",
            "The Start cannot be evaluated: it is nested too deeply for HTCondor 25, so no job would run.",
            'Replace many || by stringListMember(TARGET.Owner, "ann,bob").',
        )
    elif failing := fitting.always_fails(search):
        yield error(
            "failing-start",
            f"The Start accepts no sample job: a part of it evaluates to ERROR: {failing}.",
            "Check for a misspelled function, or a string that is compared with a number.",
        )
    else:
        yield warning("accepts-nobody", *_search_failed(search))


def _search_failed(search: Search) -> tuple[str, str]:
    """Return the message and the fix for a search without a result. There may still be such a job."""
    tried = [_values(variable.spelling, values) for variable, values in search.domains.items()]
    if not tried:
        return (
            "The Start accepts no job: it does not depend on the job, and is not true.",
            "Select jobs, for example with --project TG-ABC123.",
        )
    more = ["others"] if len(tried) > _MOST_NAMED else []
    named = "; ".join([*tried[:_MOST_NAMED], *more])
    if fitting.time_is_up():
        message = f"No job that the Start accepts was found within the time limit. Tried: some of {named}."
        return message, "Such a job may exist. Simplify the Start, for example its regexp()."
    message = f"No job that the Start accepts was found. Tried: {named}."
    parts = fitting.parts(search.text)
    alone = [part for part in parts if _fitting(part) is None]
    if alone and len(parts) > 1:
        return message, f"No job was found for this part alone either: {alone[0]}."
    if len(parts) > 1:
        return message, "A job was found for each part alone: check whether one job can fulfil all parts."
    return message, "Check whether a job can fulfil it."


def _values(name: str, values: Sequence[Any]) -> str:
    some = [literal(one) for one in values[: _MOST_NAMED + 1]]
    more = [f"{len(values) - len(some)} more"] if len(values) > len(some) else []
    listed = [*some, *more]
    return f"{name} {', '.join(listed[:-1])} and {listed[-1]}" if len(listed) > 1 else f"{name} {listed[0]}"


def _never_in_ospool(start: str) -> Iterator[Finding]:
    """Yield each requirement of the OSPool that no job fulfils which the Start accepts."""
    from bakery.userdata import ospool

    pair = _fitting(start)
    if pair is None:
        return
    usual = Pair({"ProjectName": "TG-SAMPLE", **pair.job}, pair.worker)
    # Only the guards that depend on the job alone; the others depend on the worker.
    required = {
        guard: _both(start, guard, "MY.Is_ITB_Site =!= True")
        for guard in (ospool.guards()[name] for name in ("PROJECT", "ITB"))
    }
    for guard, both in required.items():
        if (
            not accepts(parse(both), usual)
            and fitting.first(Search(both)) is None
            and not fitting.time_is_up()
        ):
            yield warning(
                "never-in-ospool",
                f"No job that the Start accepts was found for the OSPool, which also requires {guard}.",
                "Remove the contradicting condition, or use --pool with another pool.",
            )


def _both(*parts: str) -> str:
    return " && ".join(f"( {part} )" for part in parts)


def _undefined(case: Case) -> Finding:
    name = case.attribute.name.casefold()
    others = describe({one: have for one, have in case.job.job.items() if one.casefold() != name})
    job = f"A job without {case.attribute.name}" + (f" and with {others}" if others else "")
    if case.accepted:
        message = f"{job} is also accepted: {case.part} is {case.value} for it."
    else:
        message = f"{job} is not accepted: {case.part} is UNDEFINED for it, and so is the negation."
    return warning(
        "undefined-start",
        message,
        f"Handle the missing attribute: ({case.attribute} =?= undefined || …) accepts such a job,"
        f" ({case.attribute} =!= undefined && …) does not.",
    )


@cache
def _folded(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.casefold() for name in names)
