"""Check a worker's configuration file inside user-data with the worker's own parser.

Values that are not known before the boot (see `unknown`) are reported as such; the rest is checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from bakery.userdata import characters, guest, ospool, start, token
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
# A part of a message of the worker's parser -> the name of the finding.
_FINDINGS = {
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
    "unknown-conf-key": "docs/reference/worker-file.md lists the keys.",
    "repeated-key": "Remove all but one.",
    "misspelled-key": "Use the spelling of docs/reference/worker-file.md.",
    "broken-line": "Write one Key = value per line.",
    "several-tokens": "Remove all but one.",
}


# Names of the first workers (2019); the worker still reads TOKEN and START.
_EARLIER = {"OSG_WORKER_NAME": "WorkerGroupName", "TOKEN": "Token", "START": "Start"}


@cache
def paths() -> dict[str, str]:
    """The paths of the workers' files -> the kinds of worker."""
    return {guest.kind_of(kind).file: kind for kind in KINDS}


def path_in(text: str) -> str:
    """The path of a worker's file that occurs in a text; "" if none does."""
    return next((path for path in paths() if path in text), "")


def looks_like(text: str) -> str:
    """The kind of worker whose file a text seems to be; "" if it is of none."""
    return next((kind for kind, line in _LINES.items() if line.match(text.lstrip())), "")


def check(text: str, context: Context, kind: str) -> Iterator[Finding]:
    """Check a worker's file: what the worker would report, its token, and its Start expression."""
    worker = guest.kind_of(kind)
    yield from _unset_variables(text, context, worker.file)
    evaluable = _evaluable(unknown.plain(text), kind)
    yield from _not_evaluated(evaluable, context, worker.file)
    # Bytes that are not UTF-8 must reach the parser as they are.
    read = guest.read(evaluable.text.encode("utf-8", "surrogateescape"), kind)
    problems = [problem for problem in read.problems if not _can_be_resolved(problem, evaluable, kind)]
    for problem in problems:
        yield _finding(problem, "error", context, worker.file)
    for message in read.warnings:
        yield from _parser_warning(message, read.values, context, kind)
    if not read.values:
        return
    yield from _hidden(read.values, context, kind)
    names = {problem.partition(" ")[0] for problem in problems}
    broken = {key.setting for key in worker.keys if key.name in names} | evaluable.settings
    if "Token" not in broken and read.values["Token"]:
        yield from _token(read.values, broken, context, kind)
    if read.values.get("Start") and "Start" not in broken:
        is_ospool = kind == "osg" and ospool.is_pool(read.values["CentralManager"])
        yield from _start(read.values["Start"], context, is_ospool)


@dataclass(frozen=True)
class _Evaluable:
    """The part of a file that can be evaluated before the boot.

    `text` has the lines that are known. `unknown_settings` maps settings whose value is not known to their
    lines; `unknown_lines` has the lines of which not even the key is known.
    """

    text: str
    unknown_settings: dict[str, str]
    unknown_lines: str = ""

    @property
    def settings(self) -> set[str]:
        return set(self.unknown_settings)


def _evaluable(text: str, kind: str) -> _Evaluable:
    """Separate what is known of a file. Of a repeated key, the last line counts."""
    known: list[str] = []
    unknown_settings: dict[str, str] = {}
    unknown_lines = ""
    for line in text.split("\n"):
        setting = _setting(line, kind)
        is_comment = line.lstrip().startswith("#")
        if unknown.is_known(line) or is_comment:
            known.append("" if is_comment else line)
            unknown_settings.pop(setting, None)
        elif setting:
            known = ["" if _setting(one, kind) == setting else one for one in known] + [""]
            unknown_settings[setting] = line
        else:
            known.append("")
            unknown_lines += line
    return _Evaluable("\n".join(known), unknown_settings, unknown_lines)


def has_token(text: str, kind: str) -> bool:
    """Whether the file has a line for the token itself."""
    return any(_setting(line, kind) == "Token" for line in text.split("\n"))


def _setting(line: str, kind: str) -> str:
    """The setting of a line; "" if its key is none of this kind of worker."""
    name, equals, _ = line.strip().removeprefix("export ").partition("=")
    found = (key.setting for key in guest.kind_of(kind).keys if key.name.lower() == name.strip().lower())
    return next(found, "") if equals else ""


def _can_be_resolved(problem: str, evaluable: _Evaluable, kind: str) -> bool:
    """Whether a value that is not known can resolve the problem."""
    if evaluable.unknown_lines and " is missing" in problem:
        return True
    name = problem.partition(" ")[0].rstrip(",:")
    keys = guest.kind_of(kind).keys
    standing_in = {key.setting for key in keys if name in (key.name, key.instead_of)}
    return (" is missing" in problem or " is empty" in problem) and bool(standing_in & evaluable.settings)


def _unset_variables(text: str, context: Context, path: str) -> Iterator[Finding]:
    active = "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
    for name in unknown.unset_in(active):
        document, shown = name.startswith("<<"), name.removeprefix("<<")[:40]
        yield error(
            "unquoted-heredoc" if document else "unset-variable",
            f"{path}: ${shown} is not set, so the shell expands it to an empty string.",
            f"Set {shown} before, or quote the delimiter: <<'EOF'." if document else f"Set {shown} before.",
            context.where,
        )


def _not_evaluated(evaluable: _Evaluable, context: Context, path: str) -> Iterator[Finding]:
    places = dict(evaluable.unknown_settings)
    if evaluable.unknown_lines:
        places["a line"] = evaluable.unknown_lines
    for what, line in places.items():
        document = unknown.ENVIRONMENT_IN_DOCUMENT in line
        yield note(
            "unquoted-heredoc" if document else "not-judged",
            f"{path}: {what} cannot be checked before the boot: {unknown.why(line)}.",
            "To prevent the expansion, quote the delimiter: <<'EOF'." if document else "",
            context.where,
        )


def _finding(text: str, severity: str, context: Context, path: str) -> Finding:
    name = next((name for sign, name in _FINDINGS.items() if sign in text), "bad-value")
    finding = error if severity == "error" else warning
    fix = _FIXES.get(name, "Generate it again with gen-userdata.")
    return finding(name, f"{path}: {text}.", fix, context.where)


def _parser_warning(text: str, values: dict[str, str], context: Context, kind: str) -> Iterator[Finding]:
    """A warning of the parser. An unknown key is an error if it was intended for a key that is not set."""
    worker = guest.kind_of(kind)
    finding = _finding(text, "warning", context, worker.file)
    intended = _intended(text.rpartition(" ")[2], kind) if finding.id == "unknown-conf-key" else ""
    if not intended:
        yield finding
        return
    key = next((key for key in worker.keys if key.name == intended), None)
    is_set = key is not None and values.get(key.setting) != key.default
    yield replace(finding, severity="warning" if is_set else "error", fix=f"Did you mean {intended}?")


def _intended(spelled: str, kind: str) -> str:
    """The key of which this is an earlier name or a misspelling; "" if of none."""
    from difflib import get_close_matches

    if kind == "osg" and spelled in _EARLIER:
        return _EARLIER[spelled]
    names = {_letters(key.name): key.name for key in guest.kind_of(kind).keys}
    near = get_close_matches(_letters(spelled), names, n=1, cutoff=0.7)
    return names[near[0]] if near else ""


def _letters(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.casefold())


def _trust_domain(values: dict[str, str], broken: set[str], kind: str) -> str:
    """The trust domain of the pool; "" if it is not known."""
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
        # The worker joins with such a token: its other scopes are a security problem, not a failure.
        severity = "warning" if one.id == "mighty-token" else one.severity
        yield replace(one, severity=severity, where=context.where)


def _hidden(values: dict[str, str], context: Context, kind: str) -> Iterator[Finding]:
    shown = {key.name: values[key.setting] for key in guest.kind_of(kind).keys if key.setting != "Token"}
    yield from (replace(one, where=context.where) for one in characters.findings(shown))


def _start(text: str, context: Context, is_ospool: bool) -> Iterator[Finding]:
    if _EXAMPLE.search(text):
        yield error(
            "placeholder-project",
            "The project in Start is the placeholder of an example.",
            "Replace it by your own project.",
            context.where,
        )
        return
    try:
        found = start.findings(text, anyone=text.casefold() == "true", ospool=is_ospool)
    except BadInput as problem:
        yield error("bad-start", problem.message, problem.hint, context.where)
        return
    yield from (replace(one, where=context.where) for one in found)
