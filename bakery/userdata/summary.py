"""In words: whose jobs the worker will run, until when, and how to find it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from bakery.userdata import pools, rendering, start, token
from bakery.userdata.rendering import WorkerConf
from bakery.userdata.request import Request, managers_of, pool_of, setting_of

_SAYS = {
    "yes": "taken",
    "no": "left alone",
    "undefined": "left alone (UNDEFINED)",
    "error": "left alone (ERROR)",
}


def lines(request: Request, conf: WorkerConf) -> Iterator[str]:
    yield f"The worker runs {whose(request, conf)}."
    for match in _matches(request, conf, most=3):
        yield f"  {match.title}: {_SAYS[match.answer]}"
    yield f"It can join {_pool(conf)} {until(conf)}, and {_idle(conf)}."
    if said := pools.earlier(managers_of(conf)):
        yield said
    if int(setting_of(conf, "MaxLifetime")):
        yield f"{_end(conf)}, and it takes no job that could not end before."


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


def whose(request: Request, conf: WorkerConf) -> str:
    if not conf.start:
        return _given(conf)
    if request.anyone:
        return "everybody's jobs"
    named = [f"project {name}" for name in request.projects] + [f"owner {name}" for name in request.owners]
    who = f"jobs of {_listed(named)}" if named else "jobs"
    return f"{who} for which {' and '.join(request.conditions)}" if request.conditions else who


def _given(conf: WorkerConf) -> str:
    """Of a worker that does not say itself whose jobs it runs."""
    job, schedd = conf.settings.get("JobId"), conf.settings.get("ScheddName")
    who = f"the job {job} only" if job else "the jobs that the pool gives it"
    return f"{who}, parallel ones of {schedd} as well" if schedd else who


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
    pool = pool_of(conf)
    words = ["condor_status", "-pool", pool.asked if pool else pools.addresses(managers_of(conf))[0]]
    if named := " && ".join(f"{name} == {classad_string(text)}" for name, text in advertised(conf)):
        words += ["-const", named]
    return shlex.join(words)


def _pool(conf: WorkerConf) -> str:
    pool, managers = pool_of(conf), " and ".join(pools.addresses(managers_of(conf)))
    return f"{pool.title or pool.name} ({managers.replace(':9618', '')})" if pool else managers


def advertised(conf: WorkerConf) -> list[tuple[str, str]]:
    """The attributes by which a worker is found in the pool, and their values."""
    given = {"WorkerGroupName": conf.group_name, **conf.settings}
    rows = ((key.advertise, given.get(key.setting, "")) for key in rendering.worker_keys(conf.kind))
    return [(name, text) for name, text in rows if name and text]


def classad_string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _matches(request: Request, conf: WorkerConf, *, most: int) -> tuple[start.Match, ...]:
    if not conf.start:
        return ()
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
