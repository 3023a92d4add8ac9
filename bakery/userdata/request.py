"""Generate the user-data of one worker and check it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from bakery.userdata import characters, findings, keys, ospool, pools, rendering, start, token
from bakery.userdata.delivery import clouds, encodings
from bakery.userdata.delivery.encodings import Encoding
from bakery.userdata.delivery.multipart import Part
from bakery.userdata.findings import Finding
from bakery.userdata.rendering import WorkerConf
from provisioner.errors import BadInput
from provisioner.process.scrub import scrub

NAMES = tuple(sorted({*token.NAMES, *start.NAMES, *characters.NAMES, *clouds.NAMES}))


@dataclass(frozen=True, kw_only=True)
class Request:
    """The jobs that a worker accepts, its pool and its token; `settings` maps other settings to texts.

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
class Delivery:
    """The format and the encoding of the user-data, and the cloud that receives it."""

    form: str = "script"
    include: Sequence[Part] = ()
    encoding: Encoding = field(default_factory=Encoding)
    cloud: str | None = None


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How strictly to check; `now` is in seconds since 1970."""

    now: float
    trust_domain: str = ""
    allowed: frozenset[str] = frozenset()
    strict: bool = False


@dataclass(frozen=True, kw_only=True)
class UserData:
    """The worker's file, the user-data as the machine receives it, and the findings."""

    conf: WorkerConf
    payload: bytes = field(repr=False)
    findings: tuple[Finding, ...]


def generate(request: Request, delivery: Delivery, policy: Policy) -> UserData:
    """Generate and check the user-data.

    Raises BadInput for a value that the worker's file cannot carry; other problems are in the findings.
    """
    conf = conf_of(request)
    payload = payload_of(request, delivery)
    found = findings.apply_policy(
        _check(request, conf, payload, delivery, policy), allowed=policy.allowed, strict=policy.strict
    )
    return UserData(conf=conf, payload=payload, findings=found)


def payload_of(request: Request, delivery: Delivery) -> bytes:
    """Return the user-data without checks beyond those of `conf_of`. Raises BadInput."""
    rendered = rendering.render(conf_of(request), delivery.form, delivery.include)
    return encodings.payload_of(rendered, delivery.encoding)


def _refuse_tokens(request: Request) -> None:
    """Raise BadInput for a token in a value that the pool shows to everybody."""
    values = {
        "--project": request.projects,
        "--owner": request.owners,
        "--start": request.conditions,
        "--group-name": (request.group_name or "",),
    }
    for name, texts in values.items():
        if any(scrub(text) != text for text in texts):
            raise BadInput(
                f"{name} contains a token, which other users could read.", "Use --token-file FILE."
            )


def conf_of(request: Request) -> WorkerConf:
    """Return the worker's file. Raises BadInput for a value that is missing or invalid."""
    for name, value in (("--group-name", request.group_name), ("--pool", request.pool)):
        if value == "":
            raise BadInput(f"{name} is empty.", "Omit it to keep the setting of the image.")
    _refuse_missing(request)
    _refuse_deletion(request)
    _refuse_tokens(request)
    expression = _start(request)
    for text in (*request.conditions, expression) if request.conditions else ():
        start.parse(text)
    central_manager, of_pool = _pool(request)
    return WorkerConf(
        kind=request.kind,
        token=request.token,
        start=expression,
        group_name=request.group_name or "",
        central_manager=central_manager,
        settings={**of_pool, **request.settings},
    )


def _refuse_deletion(request: Request) -> None:
    """Raise BadInput for a server that is to delete itself, and has no credential for that."""
    given = {name for name in keys.CREDENTIALS if name in request.settings}
    if request.settings.get("OnIdle") == "delete" and request.kind == "osg" and not given:
        raise BadInput(
            "OnIdle = delete requires a credential of each server.",
            "fleet launch --on-idle delete makes them; or use --set ServerCredentialCommand=PROGRAM.",
        )


def _pool(request: Request) -> tuple[str, dict[str, str]]:
    """Return the CentralManager, and the other settings of a pool that is requested by name."""
    pool = pools.find(request.pool) if request.pool else None
    if pool is None:
        return request.pool or "", {}
    settings = {"CCBAddress": pool.ccb_address, "TrustDomain": pool.trust_domain}
    return pool.central_manager, {key: text for key, text in settings.items() if text}


def _refuse_missing(request: Request) -> None:
    """Report all missing settings at once, except the token and the jobs, which are checked elsewhere."""
    values = {"CentralManager": request.pool, **request.settings}
    flags = {"CentralManager": "--collector"} | {one.key: one.flag for one in keys.options(request.kind)}
    required = [key.setting for key in rendering.worker_keys(request.kind) if key.required]
    missing = [flags[name] for name in required if name in flags and not values.get(name)]
    if missing:
        raise BadInput(f"--worker {request.kind} requires {', '.join(missing)}.", "See --help.")


def _start(request: Request) -> str:
    """Return the Start expression; "" if this kind of worker has none."""
    selected = (*request.projects, *request.owners, *request.conditions)
    if rendering.key_of(request.kind, "Start"):
        return rendering.start_expression(
            projects=request.projects,
            owners=request.owners,
            conditions=request.conditions,
            anyone=request.anyone,
        )
    if selected or request.anyone:
        raise BadInput(
            f"--worker {request.kind} does not support --project, --owner, --start and --anyone.",
            "Omit them. The token decides which jobs it runs; --job-id ID limits the worker to one job.",
        )
    return ""


def managers_of(conf: WorkerConf) -> str:
    """Return the CentralManager that the worker uses: that of its file, or the default."""
    return conf.central_manager or default_of(conf.kind, "CentralManager")


def pool_of(conf: WorkerConf) -> pools.Pool | None:
    """Return the pool if it is known. The pools of the site are read only if a pool was requested."""
    return pools.of_managers(managers_of(conf), pools.known() if conf.central_manager else pools.built_in())


def trust_domain_of(conf: WorkerConf) -> str:
    """Return the expected issuer of the token; "" if it is unknown."""
    pool = pool_of(conf)
    return conf.settings.get("TrustDomain", "") or (pool.trust_domain if pool else "")


def setting_of(conf: WorkerConf, key: str) -> str:
    """Return the value of a setting or its default. (An image may have other defaults.)"""
    return conf.settings.get(key) or default_of(conf.kind, key)


def default_of(kind: str, setting: str) -> str:
    """Return the default of a setting; "" if this kind of worker does not have it."""
    row = rendering.key_of(kind, setting)
    return row.default if row else ""


def _check(
    request: Request, conf: WorkerConf, payload: bytes, delivery: Delivery, policy: Policy
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
        yield from _check_start(conf.start, request.conditions, request.projects, in_ospool)
    yield from characters.findings(rendering.shown_values(conf))
    if delivery.cloud:
        yield from clouds.findings(delivery.cloud, payload, delivery.encoding)


@lru_cache(maxsize=64)  # many rows of a table have the same Start
def _check_start(
    expression: str, conditions: tuple[str, ...], projects: tuple[str, ...], in_ospool: bool
) -> tuple[Finding, ...]:
    return tuple(start.findings(expression, conditions=conditions, projects=projects, ospool=in_ospool))
