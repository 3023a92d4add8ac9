"""Check an HTCondor IDTOKEN without its signing key: everything but the signature.

No finding contains the token. Of its claims, only the times, the issuer and the scopes are shown.
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
_EXPIRES_SOON = 24 * 3600
# Not compiled here: that takes longer than the rest of this module, and is rarely needed.
_PLACEHOLDER = (
    r"(?i).*(\.\.\.|\u2026)|[<\[{].*[>\]}]|\$.*|x{3,}|(a{2,}b{2,}.*)|"
    r"(your|my|the|paste|insert|put|replace|change)?[-_ ]?(id)?token([-_ ].*)?|change[-_]?me|todo"
)
_NEW = "Ask the administrators of the pool for a new token."
_COPY = "Copy all of it again: it begins with eyJ and has three parts joined by dots."
# A worker needs none of these; anyone who reads the disk of its machine could use them.
_ADMINISTRATIVE = frozenset({"ADMINISTRATOR", "CONFIG", "NEGOTIATOR", "OWNER", "SOAP", "DEFAULT"})
_WORKER_NEEDS = frozenset({"ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ"})
# DAEMON implies the authorization to advertise.
_CAN_ADVERTISE = frozenset({"ADVERTISE_STARTD", "DAEMON", "ADMINISTRATOR"})


@dataclass(frozen=True)
class Claims:
    """The header and the payload of a token."""

    header: Mapping[str, Any] = field(repr=False)
    payload: Mapping[str, Any] = field(repr=False)

    @property
    def expires(self) -> float | None:
        """The expiry time in seconds since 1970; None if there is no valid one."""
        return _time(self.payload.get("exp"))

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes that begin with condor:/, without that prefix; HTCondor ignores all others."""
        words = str(self.payload.get("scope", "")).split()
        return frozenset(word.removeprefix("condor:/") for word in words if word.startswith("condor:/"))


def claims_of(token: str) -> Claims | None:
    """Return the claims of a token; None if the text is not a token."""
    parts = token.split(".")
    if len(parts) != 3 or not parts[2] or _decoded(parts[2]) is None:
        return None
    header, payload = _object(parts[0]), _object(parts[1])
    return None if header is None or payload is None else Claims(header, payload)


def findings(
    token: str, *, pool: str, trust_domain: str = "", now: float, lifetime: int = 0
) -> list[Finding]:
    """Return the findings about a token.

    `pool` is HOST or HOST:PORT, or several separated by commas; `now` is in seconds since 1970;
    `lifetime` is the maximum lifetime of the worker in seconds, 0 if it has none.
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


def format_time(when: float) -> str:
    """Format a time in seconds since 1970 as text, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(when))


def _no_token(token: str) -> Finding:
    if re.fullmatch(_PLACEHOLDER, token):
        return error(
            "placeholder-token",
            "The token is a placeholder from an example.",
            "Replace it by a token from the administrators of the pool.",
        )
    return error("malformed-token", "The token is not an HTCondor IDTOKEN.", _COPY)


def _signed(header: Mapping[str, Any]) -> Iterator[Finding]:
    algorithm = header.get("alg")
    if algorithm not in ("HS256", "HS384", "HS512"):
        yield error(
            "malformed-token",
            "The token is not signed as HTCondor signs its IDTOKENs (HS256): another service issued it.",
            "Ask the administrators of the pool for an HTCondor IDTOKEN.",
        )
    elif not isinstance(header.get("kid"), str) or not header["kid"]:
        yield error(
            "malformed-token",
            "The token does not name its signing key (kid), so the pool cannot verify it.",
            _NEW,
        )


def _named(payload: Mapping[str, Any]) -> Iterator[Finding]:
    user, at, domain = str(payload.get("sub", "")).partition("@")
    if not (user and at and domain):
        yield error(
            "nameless-token",
            "The token has no valid subject (sub: user@domain); a collector rejects it or even crashes.",
            _NEW,
        )
    if not payload.get("jti"):
        yield error(
            "unnumbered-token", "The token has no ID (jti); a collector of HTCondor 25 rejects it.", _NEW
        )


def _times(claims: Claims, now: float, lifetime: int) -> Iterator[Finding]:
    starts, ends = _time(claims.payload.get("nbf")), claims.expires
    if starts is not None and starts > now:
        yield error(
            "early-token",
            f"The token is not valid before {format_time(starts)}.",
            "Wait until then, or use another token.",
        )
    if "exp" not in claims.payload:
        yield warning(
            "endless-token",
            "The token never expires: anyone who obtains it can join the pool at any time.",
            "Ask the administrators of the pool for a token with a limited lifetime.",
        )
    elif ends is None:
        yield error("malformed-token", "The token has no valid expiry time (exp).", _NEW)
    else:
        yield from _end(ends, now, lifetime)


def _end(ends: float, now: float, lifetime: int) -> Iterator[Finding]:
    if ends <= now:
        yield error("expired-token", f"The token expired on {format_time(ends)}.", _NEW)
    elif ends - now < lifetime:
        yield error(
            "outlived-token",
            f"The token expires on {format_time(ends)}, before the maximum lifetime of the worker ends"
            f" ({lifetime / 3600:g} hours after boot).",
            "Ask the administrators of the pool for a token that is valid longer, or reduce --max-hours.",
        )
    elif ends - now < _EXPIRES_SOON:
        hours = (ends - now) / 3600
        yield warning(
            "expiring-token",
            f"The token expires in {hours:.1f} hours, on {format_time(ends)}; no worker can join after"
            " that.",
            _NEW,
        )


def _issuer(payload: Mapping[str, Any], pool: str, trust_domain: str) -> Iterator[Finding]:
    issuer = payload.get("iss")
    if not isinstance(issuer, str) or not issuer:
        yield error(
            "foreign-token",
            "The token does not name its issuer (iss), so a worker cannot tell which pool accepts it.",
            _NEW,
        )
    elif trust_domain and issuer != trust_domain:
        yield error(
            "foreign-token",
            f"The token was issued by {_shown(issuer)}, not by the trust domain {_shown(trust_domain)}.",
            "Use a token of this pool.",
        )
    elif not trust_domain and issuer.casefold() not in _names_of(pool):
        yield warning(
            "foreign-token",
            f"The token was issued by {_shown(issuer)}, but the worker joins {pool}; it uses the token only"
            " if the issuer is the trust domain of that pool.",
            f"Use another --pool, or --trust-domain {_shown(issuer)} if that is correct.",
        )


def _scopes(claims: Claims) -> Iterator[Finding]:
    scopes = claims.scopes
    if not claims.payload.get("scope"):
        yield warning(
            "unscoped-token",
            "The token has no scope: it allows all that its subject may do, not only joining the pool.",
            "Ask the administrators of the pool for one limited to ADVERTISE_STARTD and ADVERTISE_MASTER.",
        )
        return
    if not scopes & _CAN_ADVERTISE:
        yield error(
            "useless-token",
            f"The token does not allow a worker to join the pool: its scope is {_listed(scopes)}.",
            "Ask the administrators of the pool for a token with ADVERTISE_STARTD and ADVERTISE_MASTER.",
        )
    ruling, wide = scopes & _ADMINISTRATIVE, scopes - _WORKER_NEEDS
    fix = "Ask the administrators of the pool for a token with ADVERTISE_STARTD and ADVERTISE_MASTER only."
    if ruling:
        yield error(
            "mighty-token", f"The token allows its holder to administer the pool: {_listed(ruling)}.", fix
        )
    elif wide and scopes & _CAN_ADVERTISE:
        yield warning("mighty-token", f"The token allows more than a worker needs: {_listed(wide)}.", fix)


def _names_of(pool: str) -> set[str]:
    return {name for address in pool.split(",") for name in _names(address.strip().partition("?")[0])}


def _names(address: str) -> set[str]:
    host = address[: address.index("]") + 1] if address.startswith("[") else address.partition(":")[0]
    return {host.casefold(), host.strip("[]").casefold(), address.casefold()}


def _listed(scopes: frozenset[str]) -> str:
    return ", ".join(_shown(scope) for scope in sorted(scopes)) or "none of HTCondor's"


def _shown(text: str) -> str:
    """Return an untrusted claim as one short line of printable ASCII."""
    plain = re.sub(r"[^!-~]", "?", text)
    return plain if len(plain) <= 80 else f"{plain[:77]}..."


def _time(value: object) -> float | None:
    # Reject bool, which is an int, and times that a calendar cannot represent.
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
