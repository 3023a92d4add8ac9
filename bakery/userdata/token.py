"""What can be known of an HTCondor IDTOKEN without its key: everything but the signature.

No finding quotes the token; of its claims only the times, the issuer and the scopes are shown.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bakery.userdata.findings import Finding, error, warning

NAMES = (
    "placeholder-token",
    "malformed-token",
    "expired-token",
    "early-token",
    "outlived-token",
    "expiring-token",
    "endless-token",
    "foreign-token",
    "nameless-token",
    "unnumbered-token",
    "useless-token",
    "mighty-token",
    "unscoped-token",
)
SOON = 24 * 3600
# Not compiled here: that takes longer than all the rest of this module, and is seldom needed.
_PLACEHOLDER = (
    r"(?i).*(\.\.\.|\u2026)|[<\[{].*[>\]}]|\$.*|x{3,}|(a{2,}b{2,}.*)|"
    r"(your|my|the|paste|insert|put|replace|change)?[-_ ]?(id)?token([-_ ].*)?|change[-_]?me|todo"
)
_NEW = "Ask the staff of the pool for a new one."
_COPY = "Copy it again, whole: it is three parts joined by dots and begins with eyJ."
# What lets more be done than a worker does: whoever reads this machine's disk could do it too.
_RULES_THE_POOL = frozenset({"ADMINISTRATOR", "CONFIG", "NEGOTIATOR", "OWNER", "SOAP", "DEFAULT"})
_WORKER_NEEDS = frozenset({"ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ"})
# DAEMON implies the right to advertise anything.
_CAN_ADVERTISE = frozenset({"ADVERTISE_STARTD", "DAEMON", "ADMINISTRATOR"})


@dataclass(frozen=True)
class Claims:
    """The header and the payload of a token."""

    header: Mapping[str, Any] = field(repr=False)
    payload: Mapping[str, Any] = field(repr=False)

    @property
    def expires(self) -> float | None:
        return _time(self.payload.get("exp"))

    @property
    def scopes(self) -> frozenset[str]:
        """HTCondor's own; it ignores all others."""
        words = str(self.payload.get("scope", "")).split()
        return frozenset(word.removeprefix("condor:/") for word in words if word.startswith("condor:/"))


def claims_of(token: str) -> Claims | None:
    """None if it is no token at all."""
    parts = token.split(".")
    if len(parts) != 3 or not parts[2] or _decoded(parts[2]) is None:
        return None
    header, payload = _object(parts[0]), _object(parts[1])
    return None if header is None or payload is None else Claims(header, payload)


def findings(
    token: str, *, pool: str, trust_domain: str = "", now: float, lifetime: int = 0
) -> list[Finding]:
    """Everything that is to be said of it.

    `pool` is HOST or HOST:PORT, several with commas; `lifetime` are the seconds that a worker may live, 0
    if nobody said.
    """
    claims = claims_of(token)
    if claims is None:
        return [_no_token(token)]
    return [
        *_signed(claims.header),
        *_named(claims.payload),
        *_times(claims, now, lifetime),
        *_issuer(claims.payload, pool, trust_domain),
        *_scopes(claims),
    ]


def moment(when: float) -> str:
    """A time in words, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(when))


def _no_token(token: str) -> Finding:
    if re.fullmatch(_PLACEHOLDER, token):
        return error(
            "placeholder-token",
            "The token is the placeholder of an example.",
            "Put the pool's token in its place; its staff gives you one.",
        )
    return error("malformed-token", "The token is no HTCondor IDTOKEN.", _COPY)


def _signed(header: Mapping[str, Any]) -> Iterator[Finding]:
    algorithm = header.get("alg")
    if algorithm not in ("HS256", "HS384", "HS512"):
        yield error(
            "malformed-token",
            "The token is not signed the way HTCondor signs (HS256); it is of another service.",
            "Ask the staff of the pool for an HTCondor IDTOKEN.",
        )
    elif not isinstance(header.get("kid"), str) or not header["kid"]:
        yield error("malformed-token", "The token does not name its signing key (kid).", _NEW)


def _named(payload: Mapping[str, Any]) -> Iterator[Finding]:
    user, at, domain = str(payload.get("sub", "")).partition("@")
    if not (user and at and domain):
        yield error(
            "nameless-token",
            "The token does not say whose it is (sub: user@domain); collectors refuse it or even crash.",
            _NEW,
        )
    if not payload.get("jti"):
        yield error(
            "unnumbered-token", "The token has no number (jti); collectors of HTCondor 25 refuse it.", _NEW
        )


def _times(claims: Claims, now: float, lifetime: int) -> Iterator[Finding]:
    starts, ends = _time(claims.payload.get("nbf")), claims.expires
    if starts is not None and starts > now:
        yield error(
            "early-token", f"The token is not valid before {moment(starts)}.", "Wait, or get another."
        )
    if "exp" not in claims.payload:
        yield warning(
            "endless-token",
            "The token never expires: whoever finds it can join the pool for ever.",
            "Ask for one with a lifetime.",
        )
    elif ends is None:
        yield error("malformed-token", "The token says no usable time when it expires (exp).", _NEW)
    else:
        yield from _end(ends, now, lifetime)


def _end(ends: float, now: float, lifetime: int) -> Iterator[Finding]:
    if ends <= now:
        yield error("expired-token", f"The token expired on {moment(ends)}.", _NEW)
    elif ends - now < lifetime:
        yield error(
            "outlived-token",
            f"The token expires on {moment(ends)}, before the worker is to go: {lifetime / 3600:g} hours"
            " after its boot.",
            "Ask the staff of the pool for one that lasts longer, or give fewer --max-hours.",
        )
    elif ends - now < SOON:
        hours = (ends - now) / 3600
        yield warning(
            "expiring-token",
            f"The token expires in {hours:.1f} hours, on {moment(ends)}; a worker cannot join after that.",
            _NEW,
        )


def _issuer(payload: Mapping[str, Any], pool: str, trust_domain: str) -> Iterator[Finding]:
    issuer = payload.get("iss")
    if not isinstance(issuer, str) or not issuer:
        yield error("foreign-token", "The token does not say which pool issued it (iss).", _NEW)
    elif trust_domain and issuer != trust_domain:
        yield error(
            "foreign-token",
            f"The token was issued by {_shown(issuer)}, not by the trust domain {_shown(trust_domain)}.",
            "Give the token of this pool.",
        )
    elif not trust_domain and issuer.casefold() not in _names_of(pool):
        yield warning(
            "foreign-token",
            f"The token was issued by {_shown(issuer)}, but the worker is to join {pool}; it is only"
            " used if that is the pool's trust domain.",
            f"Name another --pool, or say --trust-domain {_shown(issuer)} if it is right.",
        )


def _scopes(claims: Claims) -> Iterator[Finding]:
    scopes = claims.scopes
    if not claims.payload.get("scope"):
        yield warning(
            "unscoped-token",
            "The token is good for everything its owner may do, not only for joining the pool.",
            "Ask for one limited to ADVERTISE_STARTD and ADVERTISE_MASTER.",
        )
        return
    if not scopes & _CAN_ADVERTISE:
        yield error(
            "useless-token",
            f"The token does not let a worker join: its scope is {_listed(scopes)}.",
            "Ask for one with ADVERTISE_STARTD and ADVERTISE_MASTER.",
        )
    ruling, wide = scopes & _RULES_THE_POOL, scopes - _WORKER_NEEDS
    fix = "Ask for one with ADVERTISE_STARTD and ADVERTISE_MASTER only."
    if ruling:
        yield error("mighty-token", f"The token lets its holder rule the pool: {_listed(ruling)}.", fix)
    elif wide and scopes & _CAN_ADVERTISE:
        yield warning("mighty-token", f"The token allows more than a worker needs: {_listed(wide)}.", fix)


def _names_of(pool: str) -> set[str]:
    return {name for address in pool.split(",") for name in _names(address.strip().partition("?")[0])}


def _names(address: str) -> set[str]:
    host = address[: address.index("]") + 1] if address.startswith("[") else address.partition(":")[0]
    return {host.casefold(), host.strip("[]").casefold(), address.casefold()}


def _listed(scopes: frozenset[str]) -> str:
    return ", ".join(_shown(scope) for scope in sorted(scopes)) or "not HTCondor's"


def _shown(text: str) -> str:
    """A claim is somebody's text: one short line of plain characters."""
    plain = re.sub(r"[^!-~]", "?", text)
    return plain if len(plain) <= 80 else f"{plain[:77]}..."


def _time(value: object) -> float | None:
    # Not bool, which is an int; nor a time that no calendar has.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 2**37 else None


def _object(part: str) -> dict[str, Any] | None:
    raw = _decoded(part)
    try:
        found = json.loads(raw) if raw is not None else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _decoded(part: str) -> bytes | None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+={0,2}", part):
        return None
    try:
        return base64.urlsafe_b64decode(part.rstrip("=") + "=" * (-len(part.rstrip("=")) % 4))
    except binascii.Error:
        return None
