"""Summarize a worker: the jobs that it runs, how long its token is valid, and how to find it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from bakery.userdata import keys, pools, rendering, start, token
from bakery.userdata.rendering import WorkerConf
from bakery.userdata.request import Request, managers_of, pool_of, setting_of

_IDLE = {
    "poweroff": "powers off",
    "stop": "stops HTCondor (the machine stays on)",
    "delete": "deletes its server",
}
_END = {**_IDLE, "stop": "stops HTCondor", "none": "stops accepting jobs"}
_ANSWERS = {
    "yes": "would run",
    "no": "would not run",
    "undefined": "would not run (UNDEFINED)",
    "error": "would not run (ERROR)",
}


def sentences(request: Request, conf: WorkerConf) -> Iterator[str]:
    """Yield the sentences that gen-userdata prints."""
    yield f"The worker runs {accepted_jobs(request, conf)}."
    for match in _matches(request, conf, most=3):
        yield f"  {match.title}: {_ANSWERS[match.answer]}"
    yield f"It can join {_pool(conf)} {validity(conf)}, and {_idle(conf)}."
    if note := pools.former_manager_note(managers_of(conf)):
        yield note
    if int(setting_of(conf, "MaxLifetime")):
        yield f"{_end(conf)}, and accepts no job that cannot finish by then."


def as_data(request: Request, conf: WorkerConf) -> dict[str, Any]:
    """Return the summary as an object for JSON."""
    claims = token.claims_of(conf.token)
    matches = _matches(request, conf, most=100)
    return {
        "start": conf.start,
        "settings": {key: value for key, value in conf.settings.items() if key != keys.SERVER_CREDENTIAL},
        "token_expires": claims.expires if claims else None,
        "match": [{"job": match.title, "answer": match.answer} for match in matches],
        "condor_status": condor_status(conf),
    }


def accepted_jobs(request: Request, conf: WorkerConf) -> str:
    """Return a phrase for the jobs that the worker runs."""
    if not conf.start:
        return _assigned_jobs(conf)
    if request.anyone:
        return "the jobs of all users"
    named = [f"project {name}" for name in request.projects] + [f"owner {name}" for name in request.owners]
    who = f"jobs of {_listed(named)}" if named else "jobs"
    return f"{who} that match {' and '.join(request.conditions)}" if request.conditions else who


def _assigned_jobs(conf: WorkerConf) -> str:
    """Return the phrase for a worker that has no Start of its own."""
    job, schedd = conf.settings.get("JobId"), conf.settings.get("ScheddName")
    who = f"only the job {job}" if job else "the jobs that the pool assigns to it"
    return f"{who}, and parallel jobs of the schedd {schedd}" if schedd else who


def validity(conf: WorkerConf) -> str:
    """Return a phrase for the time until which the worker's token is valid."""
    if path := conf.settings.get("TokenFile"):
        return f"with the token in its file {path} (not checked)"
    if command := conf.settings.get("TokenCommand"):
        # Omit the arguments: they may be confidential.
        return f"with the token that {shlex.split(command)[0]} prints (not checked)"
    claims = token.claims_of(conf.token)
    if claims is None:
        return "while its token is valid"
    return f"until {token.format_time(claims.expires)}" if claims.expires is not None else "at any time"


def condor_status(conf: WorkerConf) -> str:
    """Return the shell command that lists the workers in the pool."""
    pool = pool_of(conf)
    words = ["condor_status", "-pool", pool.query_host if pool else pools.addresses(managers_of(conf))[0]]
    if named := " && ".join(f"{name} == {classad_string(text)}" for name, text in advertised(conf)):
        words += ["-const", named]
    return shlex.join(words)


def _pool(conf: WorkerConf) -> str:
    pool, managers = pool_of(conf), " and ".join(pools.addresses(managers_of(conf)))
    return f"{pool.title or pool.name} ({managers.replace(':9618', '')})" if pool else managers


def advertised(conf: WorkerConf) -> list[tuple[str, str]]:
    """Return the attributes by which the worker can be found in the pool, and their values."""
    values = {"WorkerGroupName": conf.group_name, **conf.settings}
    rows = ((key.advertise, values.get(key.setting, "")) for key in rendering.worker_keys(conf.kind))
    return [(name, text) for name, text in rows if name and text]


def classad_string(text: str) -> str:
    """Return the text as a ClassAd string, in quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _matches(request: Request, conf: WorkerConf, *, most: int) -> tuple[start.Match, ...]:
    if not conf.start:
        return ()
    return start.match_samples(
        conf.start, request.projects[:most], request.owners[:most], narrowed=bool(request.conditions)
    )


def _idle(conf: WorkerConf) -> str:
    seconds, how = int(setting_of(conf, "IdleTimeout")), setting_of(conf, "OnIdle")
    if how == "none" or not seconds:
        return "does not shut down when it has no job"
    return f"{_IDLE[how]} after {seconds / 60:g} min without a job"


def _end(conf: WorkerConf) -> str:
    hours, how = int(setting_of(conf, "MaxLifetime")) / 3600, setting_of(conf, "OnIdle")
    return f"It {_END[how]} at most {hours:g} h after boot"


def _listed(names: list[str]) -> str:
    if len(names) > 6:
        return f"{', '.join(names[:5])} and {len(names) - 5} others"
    return " or ".join(names)
