"""In words: whose jobs the worker will run, until when, and how to find it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from bakery.launch import start, token
from bakery.launch.request import Request, pool_of, setting_of
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
    yield f"It can join {pool_of(conf)} {until(conf)}, and {_idle(conf)}."
    if int(setting_of(conf, "MaxLifetime")):
        yield f"{_end(conf)}, and it takes no job that could not end before."
    yield f"Find it by: {search(conf)}"


def as_data(request: Request, conf: WorkerConf) -> dict[str, Any]:
    claims = token.claims_of(conf.token)
    matches = _matches(request, conf, most=100)
    return {
        "start": conf.start,
        "settings": dict(conf.settings),
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
    if path := conf.settings.get("TokenFile"):
        return f"with the token in its own file {path}, which nobody has checked"
    if command := conf.settings.get("TokenCommand"):
        # Not its arguments: they are between the user and the secret manager.
        return f"with the token that {shlex.split(command)[0]} gives it, which nobody has checked"
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
    seconds, how = int(setting_of(conf, "IdleTimeout")), setting_of(conf, "OnIdle")
    if how == "none" or not seconds:
        return "stays on when it has no job"
    goes = "powers off" if how == "poweroff" else "stops HTCondor, but leaves the machine on,"
    return f"{goes} after {seconds / 60:g} min without a job"


def _end(conf: WorkerConf) -> str:
    hours, how = int(setting_of(conf, "MaxLifetime")) / 3600, setting_of(conf, "OnIdle")
    does = {"poweroff": "powers off", "stop": "stops HTCondor", "none": "takes no job any more"}[how]
    return f"It {does} {hours:g} h after its boot at the latest"


def _listed(names: list[str]) -> str:
    if len(names) > 6:
        return f"{', '.join(names[:5])} and {len(names) - 5} others"
    return " or ".join(names)
