"""Findings about conditions of the job on workers, and of Start on jobs. Pure."""

from __future__ import annotations

import re

from bakery.status.texts import printable
from bakery.status.why.clauses import Clause
from bakery.status.why.findings import Finding, Scope
from bakery.status.why.job_ads import Job
from bakery.status.why.obstacles import Kind
from bakery.userdata.matchmaking import attributes, language
from bakery.userdata.matchmaking.suggestions import literal
from provisioner import did_you_mean

_MANY_VALUES = 3
_CLOSE = 0.8  # of 1, for names of attributes
_LISTS = ("stringlistmember", "stringlistimember", "member")


def of_job(kind: Kind, change: str, scope: Scope) -> Finding:
    """Explain what the job's Requirements exclude."""
    if scope.clause.text.casefold() == "requirements":
        value = printable(scope.clause.value("job", "Requirements") or scope.clause.outcome)
        return Finding(kind, f"Requirements of the job are {value}.", "Correct requirements of the job.")
    texts = " and ".join(dict.fromkeys(printable(one.text) for one in scope.obstacle.clauses))
    text = f"The job requires {texts}; {_workers_have(scope)}."
    return Finding(kind, text, " ".join(filter(None, [_spelling(kind, scope), change])))


def _workers_have(scope: Scope) -> str:
    """Say which values the workers have of the attributes in the conditions."""
    used = [one for clause in scope.obstacle.clauses for one in clause.attributes if one.side == "worker"]
    if not used:
        return f"for this job that is {scope.clause.outcome}"
    names = dict.fromkeys(one.name for one in used)
    return f"on {scope.names}, {' and '.join(_has(scope, name) for name in names)}"


def _has(scope: Scope, name: str) -> str:
    found = scope.values(name)
    if found == ["undefined"]:
        return f"{printable(name)} is not defined"
    shown = [printable(value) for value in found[:_MANY_VALUES]]
    more = f" or one of {len(found) - _MANY_VALUES} other values" if len(found) > _MANY_VALUES else ""
    return f"{printable(name)} is {' or '.join(shown)}{more}"


def _spelling(kind: Kind, scope: Scope) -> str:
    """Ask for the correct spelling of an attribute that no worker and no job has."""
    if kind not in ("requirements", "system"):
        return ""
    known = attributes.MACHINE | attributes.JOB
    folded = {name.casefold() for name in known}
    missing = [
        one.name
        for one in scope.clause.attributes
        if one.value == "undefined" and one.name.casefold() not in folded
    ]
    similar = [name for one in missing for name in did_you_mean.similar(one, known) if _is_close(one, name)]
    if similar:
        return did_you_mean.question(similar[:1])
    return "If it is a string, it requires double quotes." if missing and _is_compared(scope) else ""


def _is_close(one: str, other: str) -> bool:
    """Names of attributes have many words in common."""
    from difflib import SequenceMatcher  # slow to import, and needed for mistakes only

    return SequenceMatcher(None, one.casefold(), other.casefold()).ratio() >= _CLOSE


def _is_compared(scope: Scope) -> bool:
    """Whether the condition compares two attributes: one may be a string that has lost its quotes."""
    node = language.tree(scope.clause.text)
    return node.word in ("==", "=?=") and all(part.kind == "name" for part in node.parts)


def of_start(kind: Kind, scope: Scope) -> Finding:
    of_job = [one for one in scope.clause.attributes if one.side == "job"]
    text = f"{scope.verb('accepts', 'accept')} only jobs with {scope.text}; {_job_has(scope)}."
    wanted = _accepted(scope.clause)
    if len(of_job) != 1 or not wanted:
        return Finding(kind, text, "Change the job so that this is true, or Start of the workers.")
    name, value = of_job[0].name, _unquoted(of_job[0].value)
    asked = did_you_mean.similar(value, wanted) if value else ()
    best = (asked or wanted)[0]
    hint = f" Did you mean {printable(best)}?" if asked else ""
    one = literal(best) if len(wanted) == 1 or asked else " or ".join(map(literal, wanted[:4]))
    change = f"Set {name} of the job to {printable(one)}, or change Start of the workers."
    return Finding(
        kind, text + hint, change, _qedit(scope.job, name, best) if len(wanted) == 1 or asked else ()
    )


def _job_has(scope: Scope) -> str:
    of_job = [one for one in scope.clause.attributes if one.side == "job"]
    if not of_job:
        return f"that is {scope.clause.outcome} there"
    said = [
        f"has no {one.name}" if one.value == "undefined" else f"has {one.name} {printable(one.value)}"
        for one in of_job
    ]
    return f"the job {' and '.join(said)}"


def _accepted(clause: Clause) -> list[str]:
    """Return the strings with which a condition compares an attribute of the job, if it is that simple."""
    found: list[str] = []
    for node in language.nodes(language.tree(clause.text)):
        if node.kind == "operation" and node.word not in ("==", "=?=", "||"):
            return []
        if node.kind == "call" and node.word not in _LISTS:
            return []
        if node.kind == "value" and node.word.startswith('"'):
            text = _unquoted(node.word)
            is_list = any(f"{name}(" in clause.text.casefold() for name in _LISTS)
            found += re.split(r"[,\s]+", text) if is_list else [text]
    return list(dict.fromkeys(filter(None, found)))


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else ""


def _qedit(job: Job, name: str, value: str) -> tuple[str, ...]:
    if not value.isprintable() or not name.isidentifier():
        return ()
    return ("condor_qedit", job.id, name, literal(value))
