"""A worker's file inside of user-data, read by the worker's own parser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from bakery.launch import guest, start, token
from bakery.launch.findings import Finding, error, warning
from bakery.launch.lint.context import Context
from bakery.userdata import KINDS
from provisioner.errors import BadInput

_LINES = {
    "osg": re.compile(r"(?im)^[ \t]*(Token|TokenFile|TokenCommand|Start|WorkerGroupName)[ \t]*="),
    "prominence": re.compile(r"(?m)^[ \t]*(export[ \t]+)?PROMINENCE_[A-Z_]+="),
}
_EXAMPLE = re.compile(f'"{start.PLACEHOLDER}"')
# What the worker's parser says -> the name of the finding.
_NAMED = {
    " is missing": "missing-key",
    " is empty": "missing-key",
    ": unknown key": "unknown-conf-key",
    " again; ": "repeated-key",
    " is read as ": "misspelled-key",
    ": not of the form": "broken-line",
    ": not UTF-8": "not-utf8",
    ": give only one": "several-tokens",
    "can be read in two ways": "broken-line",
}
_FIXES = {
    "missing-key": "Generate it again with gen-userdata.",
    "unknown-conf-key": "See the table of keys in the README.",
    "repeated-key": "Leave one of them.",
    "misspelled-key": "Write it as the README does.",
    "broken-line": "Write one Key = value per line.",
    "several-tokens": "Leave one of them.",
}


@cache
def paths() -> dict[str, str]:
    """Of the workers' files -> their kinds."""
    return {guest.kind_of(kind).file: kind for kind in KINDS}


def path_in(text: str) -> str:
    """The path of a worker's file that is named there; "" if none is."""
    return next((path for path in paths() if path in text), "")


def looks_like(text: str) -> str:
    """Of which kind of worker it is the file; "" if of none."""
    return next((kind for kind, line in _LINES.items() if line.match(text.lstrip())), "")


def check(text: str, context: Context, kind: str) -> Iterator[Finding]:
    """What the worker would say of it, and what can be known of its token and its Start."""
    read, mine = guest.read(text.encode(), kind), guest.kind_of(kind)
    for problem in read.problems:
        yield _named(problem, "error", context, mine.file)
    for complaint in read.warnings:
        yield _named(complaint, "warning", context, mine.file)
    names = {problem.partition(" ")[0] for problem in read.problems}
    broken = {key.setting for key in mine.keys if key.name in names}
    if "Token" not in broken and read.values["Token"]:
        yield from _token(read.values, "MaxLifetime" not in broken, context)
    if "Start" in read.values and "Start" not in broken:
        yield from _start(read.values["Start"], context)


def _named(text: str, severity: str, context: Context, path: str) -> Finding:
    name = next((name for sign, name in _NAMED.items() if sign in text), "bad-value")
    made = error if severity == "error" else warning
    fix = _FIXES.get(name, "Generate it again with gen-userdata.")
    return made(name, f"{path}: {text}.", fix, context.where)


def _token(values: dict[str, str], knows_lifetime: bool, context: Context) -> Iterator[Finding]:
    found = token.findings(
        values["Token"],
        pool=values["CentralManager"],
        trust_domain=context.trust_domain,
        now=context.now,
        lifetime=int(values["MaxLifetime"]) if knows_lifetime else 0,
    )
    return (replace(one, where=context.where) for one in found)


def _start(text: str, context: Context) -> Iterator[Finding]:
    if _EXAMPLE.search(text):
        yield error(
            "placeholder-project",
            "The project in Start is the one of an example.",
            "Put your own project in its place.",
            context.where,
        )
        return
    try:
        found = start.findings(text, anyone=text.casefold() == "true")
    except BadInput as problem:
        yield error("bad-start", problem.message, problem.hint, context.where)
        return
    yield from (replace(one, where=context.where) for one in found)
