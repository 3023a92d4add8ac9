"""The problems of an HTCondor IDTOKEN that are visible without its signing key.

`worker-bakery token` and gen-userdata report the same problems from this module. No problem contains the
token. Of its claims, only the times, the issuer and the scopes are shown. HTCondor's own checks are those
of `analyze_token` and `checkToken` in condor_io/condor_auth_passwd.cpp of its source;
tests/integration/pool/test_token_acceptance.py compares the verdict with a collector's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bakery.tokens.claims import Claims, claims_of, format_time, shown, valid_time

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
WORKER_NEEDS = ("ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ")
# A worker needs none of these; anyone who reads the disk of its machine could use them.
_ADMINISTRATIVE = frozenset({"ADMINISTRATOR", "CONFIG", "NEGOTIATOR", "OWNER", "SOAP", "DEFAULT"})
# Their tokens join a pool, but a worker that lives on a disk must not have so much.
_POLICY = frozenset({"mighty-token", "outlived-token"})
Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One problem: an error if a worker with this token cannot join, or must not be given it.

    `since` is the first HTCondor version that rejects the token, () for all; `until` the first that accepts
    it again, () for none.
    """

    name: str
    severity: Severity
    message: str
    fix: str = ""
    since: tuple[int, ...] = ()
    until: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()


def error(
    name: str, message: str, fix: str = "", since: tuple[int, ...] = (), until: tuple[int, ...] = ()
) -> Problem:
    return Problem(name, "error", message, fix, since, until)


def warning(name: str, message: str, fix: str = "") -> Problem:
    return Problem(name, "warning", message, fix)


def is_rejected(problems: Iterable[Problem], version: tuple[int, ...]) -> bool:
    """Return whether a collector of this HTCondor version rejects a token with these problems."""
    rejecting = (one for one in problems if one.severity == "error" and one.name not in _POLICY)
    return any(one.since <= version and not (one.until and version >= one.until) for one in rejecting)


def problems_of(
    token: str, *, pool: str = "", trust_domain: str = "", now: float, lifetime: int = 0
) -> list[Problem]:
    """Return the problems of a token.

    `pool` is HOST or HOST:PORT, or several separated by commas; with neither `pool` nor `trust_domain` the
    issuer is not judged. `now` is in seconds since 1970; `lifetime` is the maximum lifetime of the worker
    in seconds, 0 if it has none.
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


def _no_token(token: str) -> Problem:
    if re.fullmatch(_PLACEHOLDER, token):
        return error(
            "placeholder-token",
            "The token is a placeholder from an example.",
            "Replace it by a token from the administrators of the pool.",
        )
    return error("malformed-token", "The token is not an HTCondor IDTOKEN.", _COPY)


def _signed(header: Mapping[str, Any]) -> Iterator[Problem]:
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


def _named(payload: Mapping[str, Any]) -> Iterator[Problem]:
    # HTCondor reads them as texts; a claim of another type breaks the connection.
    for name in ("jti", "project"):
        if name in payload and not isinstance(payload[name], str):
            yield error("malformed-token", f"The claim {name} of the token is not a text.", _NEW)
    subject = payload.get("sub")
    user, at, domain = subject.partition("@") if isinstance(subject, str) else ("", "", "")
    if not (user and at and domain):
        yield error(
            "nameless-token",
            "The token has no valid subject (sub: user@domain); a collector rejects it or even crashes.",
            _NEW,
        )
    if not payload.get("jti"):
        yield error(
            "unnumbered-token",
            "The token has no ID (jti); a collector of HTCondor 25 rejects it.",
            _NEW,
            since=(25,),
        )


def _times(claims: Claims, now: float, lifetime: int) -> Iterator[Problem]:
    starts, ends = valid_time(claims.payload.get("nbf")), claims.expires
    if starts is not None and starts > now:
        yield warning(
            "early-token",
            f"The token is not meant to be used before {format_time(starts)} (nbf); HTCondor ignores that.",
        )
    if "iat" in claims.payload and claims.issued is None:
        yield error("malformed-token", "The token has no valid time of issue (iat).", _NEW)
    if "exp" not in claims.payload:
        yield warning(
            "endless-token",
            "The token never expires: anyone who obtains it can join the pool at any time.",
            "Ask the administrators of the pool for a token with a limited lifetime.",
        )
    elif ends is None and isinstance(claims.payload["exp"], float):
        text = (
            "The expiry time (exp) is not a whole number; a collector of HTCondor 23.9 rejects the token."
        )
        yield error("malformed-token", text, _NEW, until=(25,))
    elif ends is None:
        yield error("malformed-token", "The token has no valid expiry time (exp).", _NEW)
    else:
        yield from _end(ends, now, lifetime)


def _end(ends: float, now: float, lifetime: int) -> Iterator[Problem]:
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


def _issuer(payload: Mapping[str, Any], pool: str, trust_domain: str) -> Iterator[Problem]:
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
            f"The token was issued by {shown(issuer)}, not by the trust domain {shown(trust_domain)}.",
            "Use a token of this pool.",
        )
    elif pool and not trust_domain and issuer.casefold() not in _names_of(pool):
        yield warning(
            "foreign-token",
            f"The token was issued by {shown(issuer)}, but the worker joins {pool}; it uses the token only"
            " if the issuer is the trust domain of that pool.",
            f"Use another --pool, or --trust-domain {shown(issuer)} if that is correct.",
        )


def _scopes(claims: Claims) -> Iterator[Problem]:
    scopes, scope = claims.scopes, claims.payload.get("scope", "")
    if not isinstance(scope, str):
        yield error("malformed-token", "The scope of the token is not a text.", _NEW)
        return
    if not scopes:
        which = "no scope of HTCondor's (condor:/...)" if scope.strip() else "no scope"
        yield warning(
            "unscoped-token",
            f"The token has {which}: it allows all that its subject may do, not only joining the pool.",
            "Ask the administrators of the pool for one limited to ADVERTISE_STARTD and ADVERTISE_MASTER.",
        )
        return
    if "ADVERTISE_STARTD" not in scopes:
        yield error(
            "useless-token",
            f"The token does not allow a worker to join the pool: its scope is {_listed(scopes)}.",
            "Ask the administrators of the pool for a token with ADVERTISE_STARTD and ADVERTISE_MASTER.",
        )
    ruling, wide = scopes & _ADMINISTRATIVE, scopes - set(WORKER_NEEDS)
    fix = "Ask the administrators of the pool for a token with ADVERTISE_STARTD and ADVERTISE_MASTER only."
    if ruling:
        yield error(
            "mighty-token", f"The token allows its holder to administer the pool: {_listed(ruling)}.", fix
        )
    elif wide and "ADVERTISE_STARTD" in scopes:
        yield warning("mighty-token", f"The token allows more than a worker needs: {_listed(wide)}.", fix)


def _names_of(pool: str) -> set[str]:
    return {name for address in pool.split(",") for name in _names(address.strip().partition("?")[0])}


def _names(address: str) -> set[str]:
    host = address[: address.index("]") + 1] if address.startswith("[") else address.partition(":")[0]
    return {host.casefold(), host.strip("[]").casefold(), address.casefold()}


def _listed(scopes: frozenset[str]) -> str:
    return ", ".join(shown(scope) for scope in sorted(scopes))
