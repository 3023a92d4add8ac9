"""A worker's file inside of user-data, read by the worker's own parser.

What of it is not known before the boot (see `unknown`) is said to be so, and the rest is judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from bakery.userdata import guest, ospool, start, token
from bakery.userdata.findings import Finding, error, note, warning
from bakery.userdata.lint import unknown
from bakery.userdata.lint.context import Context
from bakery.userdata.rendering import KINDS
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


# Names that the README of the first workers gave (2019); TOKEN and START are still read.
_EARLIER = {"OSG_WORKER_NAME": "WorkerGroupName", "TOKEN": "Token", "START": "Start"}


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
    mine = guest.kind_of(kind)
    yield from _unset(text, context, mine.file)
    judged = _judged(unknown.plain(text), kind)
    yield from _unjudged(judged, context, mine.file)
    # A file that a shell cannot have written so, for it is broken: bytes that are no text stay such.
    read = guest.read(judged.text.encode("utf-8", "surrogateescape"), kind)
    problems = [problem for problem in read.problems if not _is_open(problem, judged, kind)]
    for problem in problems:
        yield _named(problem, "error", context, mine.file)
    for complaint in read.warnings:
        yield from _complaint(complaint, read.values, context, kind)
    if not read.values:
        return
    names = {problem.partition(" ")[0] for problem in problems}
    broken = {key.setting for key in mine.keys if key.name in names} | judged.settings
    if "Token" not in broken and read.values["Token"]:
        yield from _token(read.values, broken, context, kind)
    if read.values.get("Start") and "Start" not in broken:
        in_ospool = kind == "osg" and ospool.is_pool(read.values["CentralManager"])
        yield from _start(read.values["Start"], context, in_ospool)


@dataclass(frozen=True)
class _Judged:
    """The lines that are known, the settings whose values are not and why, and why whole lines are not."""

    text: str
    open: dict[str, str]
    lines: str = ""

    @property
    def settings(self) -> set[str]:
        return set(self.open)


def _judged(text: str, kind: str) -> _Judged:
    """Of a key that is there several times, the last one counts."""
    known: list[str] = []
    openly: dict[str, str] = {}
    unread = ""
    for line in text.split("\n"):
        setting = _setting(line, kind)
        is_comment = line.lstrip().startswith("#")
        if unknown.is_known(line) or is_comment:
            known.append("" if is_comment else line)
            openly.pop(setting, None)
        elif setting:
            known = ["" if _setting(one, kind) == setting else one for one in known] + [""]
            openly[setting] = line
        else:
            known.append("")
            unread += line
    return _Judged("\n".join(known), openly, unread)


def has_token(text: str, kind: str) -> bool:
    """Is there a line for the token itself?"""
    return any(_setting(line, kind) == "Token" for line in text.split("\n"))


def _setting(line: str, kind: str) -> str:
    """What the line sets; "" if it does not say a key of this kind of worker."""
    name, equals, _ = line.strip().removeprefix("export ").partition("=")
    found = (key.setting for key in guest.kind_of(kind).keys if key.name.lower() == name.strip().lower())
    return next(found, "") if equals else ""


def _is_open(problem: str, judged: _Judged, kind: str) -> bool:
    """Could what is not known put it right?"""
    if judged.lines and " is missing" in problem:
        return True
    name = problem.partition(" ")[0].rstrip(",:")
    keys = guest.kind_of(kind).keys
    standing_in = {key.setting for key in keys if name in (key.name, key.instead_of)}
    return (" is missing" in problem or " is empty" in problem) and bool(standing_in & judged.settings)


def _unset(text: str, context: Context, path: str) -> Iterator[Finding]:
    said = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
    for name in unknown.unset_in(said):
        document, shown = name.startswith("<<"), name.removeprefix("<<")[:40]
        yield error(
            "unquoted-heredoc" if document else "unset-variable",
            f"{path}: the shell puts nothing in the place of ${shown}, because nothing sets it.",
            f"Set {shown} before, or write <<'EOF' with quotes." if document else f"Set {shown} before.",
            context.where,
        )


def _unjudged(judged: _Judged, context: Context, path: str) -> Iterator[Finding]:
    kinds = {**judged.open, **({"what stands in it": judged.lines} if judged.lines else {})}
    for what, line in kinds.items():
        document = unknown.ENVIRONMENT_IN_DOCUMENT in line
        yield note(
            "unquoted-heredoc" if document else "not-judged",
            f"{path}: {what} cannot be judged before the boot: {unknown.why(line)}.",
            "Write <<'EOF' with quotes if that is not meant." if document else "",
            context.where,
        )


def _named(text: str, severity: str, context: Context, path: str) -> Finding:
    name = next((name for sign, name in _NAMED.items() if sign in text), "bad-value")
    made = error if severity == "error" else warning
    fix = _FIXES.get(name, "Generate it again with gen-userdata.")
    return made(name, f"{path}: {text}.", fix, context.where)


def _complaint(text: str, values: dict[str, str], context: Context, kind: str) -> Iterator[Finding]:
    """A key that the worker ignores is lost, if it was meant for one that is not given otherwise."""
    mine = guest.kind_of(kind)
    made = _named(text, "warning", context, mine.file)
    meant = _meant(text.rpartition(" ")[2], kind) if made.id == "unknown-conf-key" else ""
    if not meant:
        yield made
        return
    given = next((values.get(key.setting) != key.default for key in mine.keys if key.name == meant), False)
    yield replace(made, severity="warning" if given else "error", fix=f"Did you mean {meant}?")


def _meant(spelled: str, kind: str) -> str:
    """The key that it is an earlier name of, or a slip of the pen; "" if of none."""
    from difflib import get_close_matches

    if kind == "osg" and spelled in _EARLIER:
        return _EARLIER[spelled]
    names = {_letters(key.name): key.name for key in guest.kind_of(kind).keys}
    near = get_close_matches(_letters(spelled), names, n=1, cutoff=0.7)
    return names[near[0]] if near else ""


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.casefold())


def _trust_domain(values: dict[str, str], broken: set[str], kind: str) -> str:
    """The pool's, if the worker knows it."""
    if broken & {"CentralManager", "TrustDomain"}:
        return ""
    return guest.trust_domain(values, kind)


def _token(values: dict[str, str], broken: set[str], context: Context, kind: str) -> Iterator[Finding]:
    found = token.findings(
        values["Token"],
        pool=values["CentralManager"],
        trust_domain=context.trust_domain or _trust_domain(values, broken, kind),
        now=context.now,
        lifetime=0 if "MaxLifetime" in broken else int(values["MaxLifetime"]),
    )
    for one in found:
        if one.id == "foreign-token" and not context.trust_domain and "CentralManager" in broken:
            continue
        # A worker joins by it: what it can do besides is a matter of safety.
        severity = "warning" if one.id == "mighty-token" else one.severity
        yield replace(one, severity=severity, where=context.where)


def _start(text: str, context: Context, in_ospool: bool) -> Iterator[Finding]:
    if _EXAMPLE.search(text):
        yield error(
            "placeholder-project",
            "The project in Start is the one of an example.",
            "Put your own project in its place.",
            context.where,
        )
        return
    try:
        found = start.findings(text, anyone=text.casefold() == "true", ospool=in_ospool)
    except BadInput as problem:
        yield error("bad-start", problem.message, problem.hint, context.where)
        return
    yield from (replace(one, where=context.where) for one in found)
