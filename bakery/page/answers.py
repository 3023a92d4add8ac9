"""The page's questions and their answers, as JSON: the only module that its JavaScript calls.

It runs in the browser, on Pyodide. It contains no logic of user-data: asked.py reads the fields as it does
the options of gen-userdata, and the answers hold what the command would print.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bakery.page import fields
from bakery.page.fields import LABELS
from bakery.page.places import PLACES
from bakery.tokens import words
from bakery.tokens.claims import claims_of
from bakery.userdata import asked, findings, pools, rendering, request, summary
from bakery.userdata.asked import Asked, Texts
from bakery.userdata.delivery import clouds
from bakery.userdata.findings import Finding
from bakery.userdata.request import Request, UserData
from provisioner.errors import BadInput
from provisioner.process.scrub import hiding, scrub

Form = Mapping[str, str]
_OPTIONS = ("idle_minutes", "join_minutes", "max_hours")
_OF_PROMINENCE = ("region", "node_group", "schedd_name", "job_id")
_HIDDEN = "•" * 16
# What the titles of words.describe are called on the page; the others are left out.
_TITLES = {
    "issuer": "Pool",
    "identity": "Given to",
    "expires": "Valid until",
    "from": "Valid from",
    "allows": "Allows",
}
_NO_SHELL = "A browser has no shell, so the syntax of the script was not checked."
_OTHER = "other"  # in the list of pools: the one whose host is typed
_NO_TOKEN = r"The (Token|PROMINENCE_WORKER_TOKEN) is empty"
_REQUIRES = r"--worker \w+ requires --"


def answer(question: str) -> str:
    """Answer one question, a JSON object with `ask`; the answer is a JSON object.

    It is {"failed": text} if this program has a bug, so that no earlier answer stays on the page.
    """
    given: dict[str, Any] = json.loads(question)
    try:
        return json.dumps(_ASKED[given["ask"]](given))
    except Exception as bug:  # the page is the only place where a browser can report it
        text = f"This is a bug of worker-bakery ({type(bug).__name__}). Report it, without the token."
        return json.dumps({"failed": text})


def _choices(_: Mapping[str, Any]) -> dict[str, Any]:
    """What the lists of the form contain."""
    return {
        "pools": [
            {"value": pool.name, "title": _upper(pool.title or pool.name)} for pool in pools.built_in()
        ],
        "places": [{"value": name, "title": place.title} for name, place in PLACES.items()],
        "labels": dict(LABELS),
        "defaults": {
            kind: {
                "idle": _minutes(request.default_of(kind, "IdleTimeout")),
                "join": _minutes(request.default_of(kind, "JoinTimeout")),
            }
            for kind in rendering.KINDS
        },
    }


def _minutes(seconds: str) -> str:
    return f"{int(seconds) / 60:g}" if seconds else ""


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- writing user-data -------------------------------------------------------------------------


def _generate(given: Mapping[str, Any]) -> dict[str, Any]:
    """The user-data for the values of the form; `problems` if there is none.

    `problems` and `findings` are lists of a `field`, a `text` in the words of the page, and a `severity`;
    `command` is the message of gen-userdata for the same values.
    """
    form: Form = given["form"]
    now = float(given["now"])
    result = {"token": _token(form, now), "place": _place(form)}
    try:
        wanted, made = _made(form, now)
    except BadInput as problem:
        return result | {"problems": _problems(problem, form), "command": scrub(str(problem))}
    rows = [_row(finding, fields.of_finding(finding, wanted), form) for finding in made.findings]
    try:
        asked.refuse(made)
    except BadInput as problem:
        return result | {"problems": [], "findings": rows, "command": scrub(str(problem))}
    return result | {"problems": [], "findings": rows, **_shown(wanted, made, form)}


def _made(form: Form, now: float) -> tuple[Request, UserData]:
    """Raises BadInput whose texts contain no token, also of a field that is no place for one."""
    wanted = _asked(form)
    pasted = form["token"].encode("utf-8", "surrogatepass")
    asked.check_without_token(wanted)
    with hiding(rendering.parse_token_file(pasted)):
        try:
            return asked.user_data(wanted, pasted, now)
        except BadInput as problem:
            raise BadInput(scrub(problem.message), scrub(problem.hint)) from None


def _asked(form: Form) -> Asked:
    texts = _texts(form)
    place = PLACES.get(form["place"])
    read = asked.read(texts)
    return replace(read, cloud=place.cloud) if place else read


def _texts(form: Form) -> Texts:
    """The fields as options of gen-userdata; an empty field is an option that is not given."""
    prominence = form["worker"] == "prominence"
    names = (*_OPTIONS, *(_OF_PROMINENCE if prominence else ()))
    jobs = {} if prominence else _jobs(form)
    return Texts(
        worker=form["worker"],
        group_name=None if prominence else form["group_name"] or None,
        pool=_pool(form),
        options={name: _option(form, name) for name in names},
        assignments=_gpu_jobs_only(form),
        form=form["format"],
        cloud=(form["prominence_cloud"] or None) if prominence else None,
        trust_domain=form["trust_domain"],
        **jobs,
    )


def _gpu_jobs_only(form: Form) -> tuple[str, ...]:
    """The setting by the key of this kind of worker."""
    key = rendering.key_of(form["worker"], "GpuJobsOnly")
    return (f"{key.key}={form['gpu_jobs_only']}",) if key and form["gpu_jobs_only"] else ()


def _option(form: Form, name: str) -> str | None:
    """An option of the form; blanks around a number come from pasting."""
    return (form[name].strip() if name in _OPTIONS else form[name]) or None


def _pool(form: Form) -> str | None:
    """The pool; "" is a host that is still to be filled in, which gen-userdata refuses as well."""
    if form["worker"] == "prominence":
        return form["pool_host"] or None
    return form["pool_host"] if form["pool"] == _OTHER else form["pool"] or None


def _jobs(form: Form) -> dict[str, Any]:
    if form["jobs"] == "anyone":
        return {"anyone": True}
    return {
        "projects": _listed(form["projects"]),
        "owners": _listed(form["owners"]),
        "conditions": (form["expression"],) if form["expression"] else (),
    }


def _listed(text: str) -> tuple[str, ...]:
    """Names are separated by blanks, commas, semicolons or line breaks, which no name has."""
    return tuple(re.sub("[,;]", " ", text).split())


def _problems(problem: BadInput, form: Form) -> list[dict[str, str]]:
    missing = _missing(problem, form)
    if missing:
        return [{"field": field, "severity": "missing", "text": text} for field, text in missing.items()]
    about = fields.of_message(problem.message, form["worker"])
    return [
        {
            "field": about[0] if about else "",
            "also": " ".join(about[1:]),
            "severity": "error",
            "text": fields.worded(scrub(str(problem)), form["worker"], form.values()).strip(),
        }
    ]


def _missing(problem: BadInput, form: Form) -> dict[str, str]:
    """What is still to be filled in, by its field, if that is the problem."""
    other = _empty(form)
    if "token" in other and re.match(_NO_TOKEN, problem.message):
        return other
    if "pool" in other and problem.message == "--pool is empty.":
        return other
    if problem.message == "No jobs are selected.":
        return {**other, "projects": "whose jobs the worker runs"}
    if re.match(_REQUIRES, problem.message):
        named = fields.of_message(problem.message, form["worker"])
        return {**other, **{field: f"“{LABELS[field]}”" for field in named}}
    return {}


def _empty(form: Form) -> dict[str, str]:
    """The fields that are empty whatever else is wrong."""
    found = {} if form["token"].strip() else {"token": "the token of your pool"}
    return found | ({"pool": "the host of the pool"} if _pool(form) == "" else {})


def _row(finding: Finding, field: str = "", form: Form | None = None) -> dict[str, str]:
    said = scrub(str(finding))
    text = fields.worded(said, form["worker"], form.values()) if form else said
    return {"field": field, "severity": finding.severity, "id": finding.id, "text": text}


def _shown(wanted: Request, made: UserData, form: Form) -> dict[str, Any]:
    text = made.payload.decode()
    status = summary.condor_status(made.conf)
    return {
        "text": text,
        "hidden": text.replace(made.conf.token, _HIDDEN) if made.conf.token else text,
        "sentences": [one.replace(" (UNDEFINED)", "") for one in summary.sentences(wanted, made.conf)],
        "condor_status": status,
        "size": _size(made, form),
    }


def _size(made: UserData, form: Form) -> str:
    place = PLACES.get(form["place"])
    if place is None:
        return f"{len(made.payload):,} bytes."
    cloud = clouds.CLOUDS[place.cloud]
    size = clouds.counted(cloud, made.payload, request.Delivery().encoding)
    return f"{size:,} of the {cloud.limit:,} bytes that {cloud.title} accepts."


def _place(form: Form) -> dict[str, Any]:
    place = PLACES.get(form["place"])
    if place is None:
        return {"title": "", "steps": [], "command": ""}
    image = form.get("image", "")
    return {
        "title": place.title,
        "steps": [step.replace("{image}", image or "of your worker") for step in place.steps],
        "command": place.command.replace("{image}", shlex.quote(image or "worker-image")),
    }


def _token(form: Form, now: float) -> list[list[str]]:
    """What the pasted token says, as pairs of a title and a text; [] if there is none."""
    try:
        pasted = rendering.parse_token_file(form["token"].encode("utf-8", "surrogatepass"))
    except BadInput:
        return []
    claims = claims_of(pasted)
    if claims is None:
        return []
    rows, title = [], ""
    for name, text in words.describe(claims, now):
        title = name or title
        if title in _TITLES:
            rows.append([_TITLES[title] if name else "", _IN_WORDS.get(title, str)(text)])
    return rows


def _pool_named(issuer: str) -> str:
    """The titles of the known pools with this trust domain, before the domain itself."""
    titles = [pool.title for pool in pools.built_in() if pool.trust_domain == issuer]
    return f"{_upper(titles[0])} ({issuer})" if titles else issuer


def _permission(text: str) -> str:
    """A level and its meaning, the meaning first."""
    level, colon, meaning = text.partition(": ")
    return f"{_upper(meaning)} ({level})" if colon else _upper(text)


_IN_WORDS: Mapping[str, Callable[[str], str]] = {"issuer": _pool_named, "allows": _permission}


def _token_file(given: Mapping[str, Any]) -> dict[str, Any]:
    """The token of a file, without its comments; the text of a file that does not have one token."""
    data = base64.b64decode(given["data"])
    try:
        token = rendering.parse_token_file(data)
    except BadInput:
        token = ""
    return {"token": token or data.decode("utf-8-sig", "replace").strip()}


# --- checking user-data ------------------------------------------------------------------------


def _check(given: Mapping[str, Any]) -> dict[str, Any]:
    """The findings of `gen-userdata --check` about a pasted `text`, or about the bytes of a file."""
    from bakery.userdata.lint import wrapping
    from bakery.userdata.lint.context import Context

    place = PLACES.get(given["place"])
    context = Context(
        now=float(given["now"]),
        trust_domain=given["trust_domain"],
        cloud=place.cloud if place else None,
    )
    file = given.get("data")
    data = given["text"].encode("utf-8", "surrogatepass") if file is None else base64.b64decode(file)
    found = findings.apply_policy(wrapping.check(data, context), allowed=(), strict=False)
    return {"findings": [_checked(finding) for finding in found], "bytes": len(data)}


def _text_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The text of a file, for people to read: bytes that are no UTF-8 become replacement characters."""
    return {"text": base64.b64decode(given["data"]).decode("utf-8", "replace")}


def _checked(finding: Finding) -> dict[str, str]:
    if finding.id == "unchecked-script":
        return _row(replace(finding, severity="note", message=_NO_SHELL))
    return _row(replace(finding, fix=fields.worded(finding.fix)))


_ASKED: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "choices": _choices,
    "generate": _generate,
    "token_file": _token_file,
    "check": _check,
    "text": _text_of,
}
