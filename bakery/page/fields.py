"""The fields of the page: which one a message of gen-userdata is about, and the message in their words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from bakery.userdata import characters, keys, rendering
from bakery.userdata.delivery import clouds
from bakery.userdata.findings import Finding
from bakery.userdata.request import Request
from bakery.userdata.token import NAMES as OF_TOKEN

# The label of each field, by its name in the form.
LABELS: Mapping[str, str] = {
    "worker": "Kind of worker",
    "token": "Token",
    "projects": "Projects",
    "owners": "People",
    "expression": "Condition",
    "anyone": "Everybody's jobs",
    "group_name": "Name of the group",
    "pool": "Pool",
    "trust_domain": "Issuer of the pool's tokens",
    "idle_minutes": "Idle time",
    "join_minutes": "Time to join",
    "max_hours": "Longest life",
    "gpu_jobs_only": "Jobs on GPU machines",
    "prominence_cloud": "Name of the cloud",
    "region": "Region",
    "node_group": "Node group",
    "schedd_name": "Schedd of parallel jobs",
    "job_id": "Only this job",
    "place": "Cloud",
    "format": "Format",
}
_OPTIONS = [one for one in (*keys.LIFECYCLE_OPTIONS, *keys.PROMINENCE_OPTIONS) if one.name in LABELS]
_FLAGS: Mapping[str, str] = {
    "--worker": "worker",
    "--token-file": "token",
    "--project": "projects",
    "--owner": "owners",
    "--start": "expression",
    "--anyone": "anyone",
    "--group-name": "group_name",
    "--pool": "pool",
    "--collector": "pool",
    "--trust-domain": "trust_domain",
    "--cloud": "prominence_cloud",
    "--set GpuJobsOnly": "gpu_jobs_only",
    "--format": "format",
    **{option.flag: option.name for option in _OPTIONS},
}
_SETTINGS: Mapping[str, str] = {
    "Token": "token",
    "Start": "expression",
    "WorkerGroupName": "group_name",
    "CentralManager": "pool",
    "TrustDomain": "trust_domain",
    "Cloud": "prominence_cloud",
    "GpuJobsOnly": "gpu_jobs_only",
    **{option.key: option.name for option in _OPTIONS},
}
_WORDS: Mapping[str, str] = {
    "valid project name": "projects",
    "valid owner name": "owners",
    "No jobs are selected": "projects",
    "tokens; only one": "token",
    "There is no pool": "pool",
    "is the name of a pool": "pool",
}
# The page does not compress and does not include files.
_WITHOUT_FIELD = re.compile(
    r"With --gzip(?: --base64)? it is \d+ bytes, which fits\.|, or fetch the rest at boot \(#include\)"
    r"|Name the cloud with --cloud NAME\."
)
_INSTEAD: Mapping[str, str] = {
    "With": "Use gen-userdata --gzip on a Linux machine, or shorten the conditions.",
    ", or": "",
    "Name": "Choose the cloud.",
}
# Sentences in which a label alone would not be English.
_PHRASES: Mapping[str, str] = {
    r"Use --pool (\S+) alone": r"Choose the pool \1 alone",
    "use --pool with another pool": "choose another pool",
    "Use another --pool": "Choose another “Pool”",
    r"use --anyone\b": "choose “Everybody's jobs”",
    r" ?See --help\.": "",
    r"or check it with gen-userdata --check\.": "or with gen-userdata on a Linux machine.",
    "ClassAd expression": "HTCondor expression",
}
_EXAMPLE = r"(?:[ =](?:FILE|EXPR|NAME|N|H|ID|Key=value)\b)?"


def of_message(message: str, kind: str) -> tuple[str, ...]:
    """Return the fields that a message is about, the first one first; none if it names no field."""
    if " requires --" in message and message.startswith("--worker"):
        message = message.partition(" requires ")[2]
    found = {field: at for at, field in _mentions(message, kind)}
    return tuple(sorted(found, key=lambda field: found[field]))


def _mentions(message: str, kind: str) -> Iterator[tuple[int, str]]:
    """Yield the position and the field of each name in the message, from its end to its beginning."""
    names = {**_FLAGS, **_WORDS}
    names |= {
        key.key: _SETTINGS[key.setting] for key in rendering.worker_keys(kind) if key.setting in _SETTINGS
    }
    found = [
        (match.start(), field)
        for name, field in names.items()
        for match in re.finditer(rf"(?<![\w-]){re.escape(name)}(?![\w-])", message)
    ]
    yield from sorted(found, reverse=True)


def of_finding(finding: Finding, wanted: Request) -> str:
    """Return the field that a finding of the generator is about."""
    if finding.id in OF_TOKEN:
        return "token"
    if finding.id in clouds.NAMES:
        return "place"
    if finding.id in characters.NAMES:
        return next(iter(of_message(finding.message, wanted.kind)), "")
    return "expression" if wanted.conditions and finding.id != "unusual-project" else "projects"


def worded(text: str, kind: str = "", values: Iterable[str] = ()) -> str:
    """Return a message with the labels of the fields in place of the names that they have elsewhere.

    These are the options of the command and, of a `kind` of worker, the keys of its file. What people
    typed, the `values`, stays as it is.
    """
    kept = {word: f"\0{number}\0" for number, word in enumerate(_with_names(values, kind))}
    for word, mark in kept.items():
        text = text.replace(word, mark)
    text = _of_keys(_of_options(text), kind)
    for word, mark in kept.items():
        text = text.replace(mark, word)
    return text


def _with_names(values: Iterable[str], kind: str) -> list[str]:
    """Return the values with a word that would be replaced, also as repr() has them; long ones first."""
    spelled = {one for value in values for one in (value, repr(value)[1:-1])}
    return sorted(
        (one for one in spelled if _of_keys(_of_options(one), kind) != one), key=len, reverse=True
    )


def _of_options(text: str) -> str:
    text = text.replace("--worker prominence", "the kind PROMINENCE").replace(
        "--worker osg", "the kind OSG"
    )
    text = re.sub(r"--project (?=TG-)", "the project ", text)
    text = _WITHOUT_FIELD.sub(lambda found: _INSTEAD[found[0][:4]], text)
    for words, instead in _PHRASES.items():
        text = re.sub(words, instead, text)
    for flag in sorted((flag for flag in _FLAGS if flag in text), key=len, reverse=True):
        text = re.sub(rf"{re.escape(flag)}(?![\w-]){_EXAMPLE}", f"“{LABELS[_FLAGS[flag]]}”", text)
    return text


def _of_keys(text: str, kind: str) -> str:
    if not kind:
        return text
    text = re.sub(r"\b(The|the|no) Start\b", r"\1 condition", text)
    text = re.sub(r"\bThe (Token|PROMINENCE_WORKER_TOKEN)\b", "The token", text)
    for key in rendering.worker_keys(kind):
        if key.key in text and (field := _SETTINGS.get(key.setting)):
            text = re.sub(rf"(?<![\w.]){key.key}(?![\w.])", f"“{LABELS[field]}”", text)
    return text
