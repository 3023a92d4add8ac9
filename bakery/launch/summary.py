"""In words: whose jobs the worker will run, until when, and how to find it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from bakery.launch import start, token
from bakery.launch.request import Request, default_of, pool_of
from bakery.userdata import WorkerConf

_SAYS = {
    "yes": "taken",
    "no": "left alone",
    "undefined": "left alone (UNDEFINED)",
    "error": "left alone (ERROR)",
}


def lines(request: Request, conf: WorkerConf) -> Iterator[str]:
    yield f"The worker runs {whose(request)}."
    for match in _matches(request, conf, most=3):
        yield f"  {match.title}: {_SAYS[match.answer]}"
    yield f"It can join {pool_of(conf)} {until(conf)}, and powers off after {_idle(conf)} without a job."
    yield f"Find it by: {search(conf)}"


def as_data(request: Request, conf: WorkerConf) -> dict[str, Any]:
    claims = token.claims_of(conf.token)
    matches = _matches(request, conf, most=100)
    return {
        "start": conf.start,
        "token_expires": claims.expires if claims else None,
        "match": [{"job": match.title, "answer": match.answer} for match in matches],
        "condor_status": search(conf),
    }


def whose(request: Request) -> str:
    if request.anyone:
        return "everybody's jobs"
    named = [f"project {name}" for name in request.projects] + [f"owner {name}" for name in request.owners]
    who = f"jobs of {_listed(named)}" if named else "jobs"
    return f"{who} for which {' and '.join(request.conditions)}" if request.conditions else who


def until(conf: WorkerConf) -> str:
    claims = token.claims_of(conf.token)
    if claims is None:
        return "for as long as its token is good"
    return f"until {token.moment(claims.expires)}" if claims.expires is not None else "for ever"


def search(conf: WorkerConf) -> str:
    """The command that shows the workers, for a shell."""
    words = ["condor_status", "-pool", pool_of(conf)]
    if conf.group_name:
        escaped = conf.group_name.replace("\\", "\\\\").replace('"', '\\"')
        words += ["-const", f'WorkerGroupName == "{escaped}"']
    return shlex.join(words)


def _matches(request: Request, conf: WorkerConf, *, most: int) -> tuple[start.Match, ...]:
    return start.dry_match(
        conf.start, request.projects[:most], request.owners[:most], narrowed=bool(request.conditions)
    )


def _idle(conf: WorkerConf) -> str:
    seconds = conf.idle_timeout or int(default_of("IdleTimeout"))
    return f"{seconds / 60:g} min"


def _listed(names: list[str]) -> str:
    if len(names) > 6:
        return f"{', '.join(names[:5])} and {len(names) - 5} others"
    return " or ".join(names)
