"""One worker as a user asks for it -> its user-data, and everything there is to say about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from bakery.userdata import findings, keys, ospool, pools, rendering, start, token
from bakery.userdata.delivery import clouds, encodings
from bakery.userdata.delivery.encodings import Encoding
from bakery.userdata.delivery.multipart import Part
from bakery.userdata.findings import Finding
from bakery.userdata.rendering import WorkerConf
from provisioner.errors import BadInput

NAMES = tuple(sorted({*token.NAMES, *start.NAMES, *clouds.NAMES}))


@dataclass(frozen=True, kw_only=True)
class Request:
    """Whose jobs, where and for how long; `settings` are other keys of the file and their texts.

    `pool` is the name of a pool, or HOST[:PORT][,HOST…].
    """

    kind: str = "osg"
    token: str = field(default="", repr=False)
    projects: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    anyone: bool = False
    group_name: str | None = None
    pool: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Shape:
    """In which form, and for which cloud."""

    form: str = "script"
    include: Sequence[Part] = ()
    encoding: Encoding = field(default_factory=Encoding)
    cloud: str | None = None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How strict to be, and at what time."""

    now: float
    trust_domain: str = ""
    allowed: frozenset[str] = frozenset()
    strict: bool = False


@dataclass(frozen=True, kw_only=True)
class Made:
    """The user-data, and what was found."""

    conf: WorkerConf
    payload: bytes = field(repr=False)
    findings: tuple[Finding, ...]


def made(request: Request, shape: Shape, policy: Policy) -> Made:
    """Raises BadInput for what cannot be carried at all; the rest is in the findings."""
    conf = conf_of(request)
    payload = encodings.payload_of(rendering.render(conf, shape.form, shape.include), shape.encoding)
    found = findings.judged(
        _found(request, conf, payload, shape, policy), allowed=policy.allowed, strict=policy.strict
    )
    return Made(conf=conf, payload=payload, findings=found)


def conf_of(request: Request) -> WorkerConf:
    for name, value in (("--group-name", request.group_name), ("--pool", request.pool)):
        if value == "":
            raise BadInput(f"{name} is empty.", "Leave it away to keep what the image has.")
    _refuse_missing(request)
    wanted = _start(request)
    for text in (*request.conditions, wanted) if request.conditions else ():
        start.parsed(text)
    central_manager, of_pool = _pool(request)
    return WorkerConf(
        kind=request.kind,
        token=request.token,
        start=wanted,
        group_name=request.group_name or "",
        central_manager=central_manager,
        settings={**of_pool, **request.settings},
    )


def _pool(request: Request) -> tuple[str, dict[str, str]]:
    """The CentralManager, and what else the worker is to know of a pool that has a name."""
    pool = pools.find(request.pool) if request.pool else None
    if pool is None:
        return request.pool or "", {}
    more = {"CCBAddress": pool.ccb_address, "TrustDomain": pool.trust_domain}
    return pool.central_manager, {key: text for key, text in more.items() if text}


def _refuse_missing(request: Request) -> None:
    """All at once. A token that is missing is asked for elsewhere, and whose jobs below."""
    said = {"CentralManager": request.pool, **request.settings}
    flags = {"CentralManager": "--collector"} | {one.key: one.flag for one in keys.options(request.kind)}
    required = [key.setting for key in rendering.worker_keys(request.kind) if key.required]
    missing = [flags[name] for name in required if name in flags and not said.get(name)]
    if missing:
        raise BadInput(f"A {request.kind} worker also needs {', '.join(missing)}.", "See --help.")


def _start(request: Request) -> str:
    """Whose jobs; "" where that is not the worker's to say."""
    said = (*request.projects, *request.owners, *request.conditions)
    if rendering.key_of(request.kind, "Start"):
        return rendering.start_expression(
            projects=request.projects,
            owners=request.owners,
            conditions=request.conditions,
            anyone=request.anyone,
        )
    if said or request.anyone:
        raise BadInput(
            f"--project, --owner, --start and --anyone say nothing to a worker of the kind {request.kind}.",
            "Its token decides that; --job-id ID takes one job only.",
        )
    return ""


def managers_of(conf: WorkerConf) -> str:
    """Where the worker will join, as its file has it: what was said, or what the image has."""
    return conf.central_manager or default_of(conf.kind, "CentralManager")


def pool_of(conf: WorkerConf) -> pools.Pool | None:
    """The pool, if it is a known one. A site's own are looked for only where a pool was named."""
    return pools.of_managers(managers_of(conf), pools.known() if conf.central_manager else pools.shipped())


def trust_domain_of(conf: WorkerConf) -> str:
    """Who has to have issued the token; "" if that is not known."""
    pool = pool_of(conf)
    return conf.settings.get("TrustDomain", "") or (pool.trust_domain if pool else "")


def setting_of(conf: WorkerConf, key: str) -> str:
    """What the worker will go by, as far as its image has no defaults of its own."""
    return conf.settings.get(key) or default_of(conf.kind, key)


def default_of(kind: str, setting: str) -> str:
    row = rendering.key_of(kind, setting)
    return row.default if row else ""


def _found(
    request: Request, conf: WorkerConf, payload: bytes, shape: Shape, policy: Policy
) -> Iterator[Finding]:
    if conf.token:
        yield from token.findings(
            conf.token,
            pool=managers_of(conf),
            trust_domain=policy.trust_domain or trust_domain_of(conf),
            now=policy.now,
            lifetime=int(setting_of(conf, "MaxLifetime")),
        )
    if request.conditions or request.projects:
        in_ospool = conf.kind == "osg" and ospool.is_pool(managers_of(conf))
        yield from _of_start(conf.start, request.conditions, request.projects, in_ospool)
    if shape.cloud:
        yield from clouds.findings(shape.cloud, payload, shape.encoding)


@lru_cache(maxsize=64)  # the rows of a table tend to want the same jobs
def _of_start(
    wanted: str, conditions: tuple[str, ...], projects: tuple[str, ...], in_ospool: bool
) -> tuple[Finding, ...]:
    return tuple(start.findings(wanted, conditions=conditions, projects=projects, ospool=in_ospool))
