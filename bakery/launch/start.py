"""Whose jobs would a Start accept? Parsed and tried on sample jobs by HTCondor's own ClassAd library."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from bakery.launch.findings import Finding, error, warning
from provisioner.errors import BadInput

if TYPE_CHECKING:
    import classad2  # type: ignore[import-untyped]  # the wheel has no types

NAMES = (
    "accepts-everyone",
    "accepts-nobody",
    "undefined-start",
    "unknown-attribute",
    "failing-start",
    "unusual-project",
)
OTHER_PROJECT = "TG-SOMEBODY-ELSE"
Answer = Literal["yes", "no", "undefined", "error"]

_MACHINE: dict[str, Any] = {
    "MyType": "Machine", "Arch": "X86_64", "OpSys": "LINUX", "OpSysAndVer": "Debian13", "OpSysMajorVer": 13,
    "Machine": "worker", "Name": "slot1@worker", "State": "Unclaimed", "Activity": "Idle",
    "Cpus": 8, "TotalCpus": 8, "DetectedCpus": 8, "TotalSlotCpus": 8, "GPUs": 0, "TotalSlots": 1,
    "Memory": 32000, "TotalMemory": 32000, "DetectedMemory": 32000, "TotalSlotMemory": 32000,
    "Disk": 50_000_000, "TotalDisk": 50_000_000, "LoadAvg": 0.1, "PartitionableSlot": True,
    "SlotID": 1, "SlotType": "Partitionable", "HasFileTransfer": True, "KeyboardIdle": 100_000,
    "TotalLoadAvg": 0.1, "MyCurrentTime": 1_700_000_000, "DaemonStartTime": 1_699_990_000,
    "EnteredCurrentState": 1_699_999_000, "EnteredCurrentActivity": 1_699_999_000,
    "VirtualMemory": 40_000_000,
}  # fmt: skip
_JOB: dict[str, Any] = {
    "MyType": "Job", "Owner": "somebody", "User": "somebody@access.example", "JobUniverse": 5,
    "JobStatus": 1,
    "ClusterId": 1, "ProcId": 0, "Cmd": "/bin/sh", "Iwd": "/home/somebody", "JobPrio": 0, "NiceUser": False,
    "RequestCpus": 1, "RequestMemory": 1024, "RequestDisk": 1_000_000, "RequestGPUs": 0, "ImageSize": 100,
    "DiskUsage": 100, "QDate": 1_699_999_500, "NumJobStarts": 0, "GlobalJobId": "ap.example#1.0#1",
    "ShouldTransferFiles": "YES", "WhenToTransferOutput": "ON_EXIT", "MaxHosts": 1, "MinHosts": 1,
    "NumShadowStarts": 0, "NumRestarts": 0, "EnteredCurrentStatus": 1_699_999_500, "ExecutableSize": 100,
    "Args": "", "Env": "", "Rank": 0.0, "JobNotification": 0, "SubmitterId": "ap.example",
}  # fmt: skip

# Compiled where they are used: a Start of projects and owners alone needs none of them.
_COMPARED = (
    r"(?i)(?:(?:TARGET|MY)\s*\.\s*)?([A-Za-z_]\w*)\s*(=\?=|==|>=|<=|>|<)\s*"
    r'("(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?\b|true\b|false\b)'
)
_TEXT = r'"((?:[^"\\]|\\.)*)"'
_OF_DAEMONS = (
    r"(?i)\b(stringList|split|user|env|mergeEnv|listToArgs|argsToList|evalInEach|countMatches)\w*\s*\("
)
_SCOPED = r"(?i)\b(MY|TARGET)\s*\.\s*([A-Za-z_]\w*)"
_BARE_WORD = r"[=!]=\s*([A-Za-z]\w*-\w+)"
PLACEHOLDER = r"TG-(N+|X{3,}|0+)"
_ALLOCATION = r"[A-Za-z]{3}[0-9]{6}"
_MOST_TRIES = 24


@dataclass(frozen=True)
class Sample:
    """A job that never was, in words and as its attributes."""

    title: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Match:
    """What the Start says to one sample job."""

    title: str
    answer: Answer


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

    if re.search(_OF_DAEMONS, text):
        with _no_setting_left():
            import htcondor2  # type: ignore[import-untyped]  # noqa: F401  # no types; for its effect
    try:
        classad2.ExprTree(text)
        return classad2.ExprTree(f"({text})")
    except classad2.ClassAdException:
        raise BadInput(
            f"Start is no expression to HTCondor: {text}",
            'Compare like this: TARGET.ProjectName == "TG-ABC123", and join by && and ||.',
        ) from None


@contextmanager
def _no_setting_left() -> Iterator[None]:
    """htcondor2 sets CONDOR_CONFIG for every child of ours, whoever imports it.

    We do, a tenth of a second, for the functions of daemons; classad2 does if a value is an ad.
    """
    before = os.environ.get("CONDOR_CONFIG")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("CONDOR_CONFIG", None)


def dry_match(
    start: str, projects: Sequence[str] = (), owners: Sequence[str] = (), *, narrowed: bool = True
) -> tuple[Match, ...]:
    """The Start tried on jobs it should take, on another project's and on one without a project.

    Where conditions narrow it, the jobs of the projects and owners are made to fulfil them.
    """
    expression = parsed(start)
    fitting = next(_tailored(start)).attributes if narrowed else {}
    wanted = [_named("ProjectName", project, fitting) for project in projects]
    wanted += [_named("Owner", owner, fitting) for owner in owners]
    tried = [Match(sample.title, _answer(expression, sample)) for sample in (*wanted, *_strangers())]
    return tuple(tried if wanted else [_best_fit(expression, start), *tried])


def _best_fit(expression: classad2.ExprTree, start: str) -> Match:
    answers = [_answer(expression, sample) for sample in _tailored(start)]
    return Match("a job made to fit", "yes" if "yes" in answers else answers[0])


def findings(
    start: str, *, conditions: Sequence[str] = (), projects: Sequence[str] = (), anyone: bool = False
) -> list[Finding]:
    """What is to be said of a Start; `conditions` are the parts that the user wrote.

    One of projects and owners alone is ours, and as it should be.
    """
    unusual = [finding for project in projects for finding in _unusual(project)]
    return unusual if anyone or (projects and not conditions) else [*unusual, *_tried(start, conditions)]


def _tried(start: str, conditions: Sequence[str]) -> Iterator[Finding]:
    expression = parsed(start)
    unknown = list(_unknown(expression, start))
    nobody = list(_nobody(expression, start))
    yield from unknown
    yield from _everyone(expression)
    yield from nobody
    if not unknown and not nobody:  # those say why already
        for condition in conditions:
            yield from _undefined(condition)


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


def _unknown(expression: classad2.ExprTree, start: str) -> Iterator[Finding]:
    from bakery.launch.attributes import JOB, MACHINE

    bare = re.search(_BARE_WORD, start)
    if bare:
        yield warning(
            "unknown-attribute",
            f"{bare[1]} is read as a subtraction, because it has no quotes.",
            f'Write "{bare[1]}" in double quotes.',
        )
    scopes = _scopes(start)
    for reference in _references(expression):
        name = reference.rpartition(".")[2]
        scope = scopes.get(name.casefold(), "")
        known = {"target": JOB, "my": MACHINE}.get(scope, JOB | MACHINE)
        if name.casefold() not in _folded(known) and not (bare and name in bare[1].split("-")):
            yield _stranger(name, scope, known)


def _scopes(text: str) -> dict[str, str]:
    """MY or TARGET of each name; the library tells them only until a daemon's functions are loaded."""
    found = re.finditer(_SCOPED, re.sub(_TEXT, '""', text))
    return {match[2].casefold(): match[1].casefold() for match in found}


def _stranger(name: str, scope: str, known: frozenset[str]) -> Finding:
    from bakery.launch.attributes import JOB, MACHINE

    whose = "Machines" if scope == "my" else "Jobs"
    others = {"target": MACHINE, "my": JOB}.get(scope, frozenset())
    if name.casefold() in _folded(others):
        right = "TARGET" if whose == "Machines" else "MY"
        hint = f"Did you mean {right}.{name}?"
    elif not name.isidentifier():
        hint = "Text stands in double quotes; single quotes quote the name of an attribute."
    else:
        hint = _nearest(name, known)
    return warning("unknown-attribute", f"{whose} have no attribute {name} by themselves.", hint)


def _nearest(name: str, known: frozenset[str]) -> str:
    from difflib import get_close_matches

    by_folded = {word.casefold(): word for word in sorted(known)}
    near = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.7)
    if near:
        return f"Did you mean {by_folded[near[0]]}?"
    return "It works only if the jobs' submitters set it (+Name in the submit file)."


def _everyone(expression: classad2.ExprTree) -> Iterator[Finding]:
    if all(_answer(expression, sample) == "yes" for sample in _strangers()):
        yield warning(
            "accepts-everyone",
            "The Start takes jobs of any project and any owner.",
            "Add --project TG-ABC123, or say --anyone if that is meant.",
        )


def _nobody(expression: classad2.ExprTree, start: str) -> Iterator[Finding]:
    answers = set()
    for sample in (*_strangers(), *_tailored(start)):
        answers.add(_answer(expression, sample))
        if "yes" in answers:
            return
    if "error" in answers:
        yield error(
            "failing-start",
            "The Start takes no sample job, because it ends in an error.",
            "Look for a misspelled function, or for text that is compared with a number.",
        )
    else:
        yield warning(
            "accepts-nobody",
            "The Start takes none of the sample jobs.",
            "Look for parts that exclude each other.",
        )


def _undefined(condition: str) -> Iterator[Finding]:
    """As a job without a project meets the user's own condition."""
    expression = parsed(condition)
    if _answer(expression, _strangers()[-1]) != "undefined":
        return
    names = [name.rpartition(".")[2] for name in _references(expression)]
    has = _folded(frozenset(_JOB) | frozenset(_MACHINE))
    what = " or ".join(dict.fromkeys(name for name in names if name.casefold() not in has))
    compares = "==" in condition or "!=" in condition
    yield warning(
        "undefined-start",
        f"For a job without {what or 'what it refers to'}, {condition} is UNDEFINED, not false:"
        " such a job is not taken, and would not be by the opposite either.",
        "Write =?= for == and =!= for != (they heed upper and lower case)."
        if compares
        else f"Write ({condition}) =?= true.",
    )


def _answer(expression: classad2.ExprTree, sample: Sample) -> Answer:
    """As the startd asks: what has no prefix is the machine's or else the job's."""
    import classad2

    machine, job = _ads()
    for ad in (machine, job):
        ad.update(
            {name: value for name, value in sample.attributes.items() if ad is job or name not in _MACHINE}
        )
    with _no_setting_left():
        found = expression.eval(machine, job)
    _restore(machine, sample, _JOB | _MACHINE)
    _restore(job, sample, _JOB)
    if found is classad2.Value.Undefined:
        return "undefined"
    if found is classad2.Value.Error or not isinstance(found, bool | int | float):
        return "error"
    return "yes" if found else "no"


@cache  # made once: the library keeps a little of each ad for ever
def _ads() -> tuple[classad2.ClassAd, classad2.ClassAd]:
    import classad2

    return classad2.ClassAd(_JOB | _MACHINE), classad2.ClassAd(_JOB)


def _restore(ad: classad2.ClassAd, sample: Sample, before: dict[str, Any]) -> None:
    for name in sample.attributes:
        if name in before:
            ad[name] = before[name]
        elif name in ad:
            del ad[name]


def _named(attribute: str, value: str, fitting: dict[str, Any]) -> Sample:
    what = "project" if attribute == "ProjectName" else "owner"
    others = {name: have for name, have in fitting.items() if name not in ("ProjectName", "Owner")}
    return Sample(f"a job of {what} {value}", others | {attribute: value} | _owned(attribute, value))


@cache
def _strangers() -> tuple[Sample, ...]:
    return (
        Sample(f"a job of project {OTHER_PROJECT}", {"ProjectName": OTHER_PROJECT}),
        Sample("a job of no project", {}),
    )


def _tailored(start: str) -> Iterator[Sample]:
    """Jobs made to please: with what the expression compares with, alone and together."""
    found = re.finditer(_COMPARED, start)
    compared = [(_proper(match[1]), _pleasing(match[2], match[3])) for match in found]
    together = dict(reversed(compared))  # of several, the first counts
    yield Sample("a job made to fit", dict(together))
    for attribute, value in compared[:_MOST_TRIES]:
        yield Sample(f"a job with {attribute} {value}", together | {attribute: value})
    words = [
        word for match in re.finditer(_TEXT, start) for word in re.split(r"[\s,]+", match[1].strip("^$.*"))
    ]
    for word in words[:_MOST_TRIES]:
        for attribute in ("ProjectName", "Owner"):
            yield Sample(
                f"a job with {attribute} {word}", together | {attribute: word} | _owned(attribute, word)
            )


def _proper(name: str) -> str:
    """As the sample ads spell it: ClassAds do not heed case, Python does."""
    return next((known for known in (*_JOB, *_MACHINE) if known.casefold() == name.casefold()), name)


def _pleasing(operator: str, literal: str) -> Any:
    if literal.startswith('"'):
        return re.sub(r"\\(.)", r"\1", literal[1:-1])
    if literal.casefold() in ("true", "false"):
        return literal.casefold() == "true"
    number = float(literal) if "." in literal else int(literal)
    return number + {">": 1, "<": -1}.get(operator, 0)


def _owned(attribute: str, value: str) -> dict[str, str]:
    return {"User": f"{value}@access.example"} if attribute == "Owner" else {}


def _references(expression: classad2.ExprTree) -> list[str]:
    import classad2

    return [name for name in classad2.ClassAd().externalRefs(expression) if name]


@cache
def _folded(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.casefold() for name in names)
