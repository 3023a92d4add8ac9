"""What a token says, in words: a title and a text for each line."""

from __future__ import annotations

from collections.abc import Iterator

from bakery.tokens.claims import LEVELS, Claims, format_relative, format_time, shown, valid_time

KNOWN = ("iss", "sub", "iat", "nbf", "exp", "jti", "scope")


def describe(claims: Claims, now: float) -> Iterator[tuple[str, str]]:
    """Yield what a token says: pairs of a title and a text, the title "" for further lines."""
    yield "issuer", shown(claims.issuer) or "none"
    yield "identity", shown(claims.subject) or "none"
    yield "key", f"{shown(claims.key_name) or 'none'} ({shown(str(claims.header.get('alg')))})"
    yield "ID", shown(str(claims.payload.get("jti") or "none"))
    yield "issued", _when(claims.issued, now)
    starts = valid_time(claims.payload.get("nbf"))
    if starts is not None:
        yield "from", _when(starts, now)
    yield "expires", _when(claims.expires, now) if "exp" in claims.payload else "never"
    yield from _scopes(claims)
    if more := sorted(set(claims.payload) - set(KNOWN)):
        yield "also", ", ".join(shown(name) for name in more)[:200]


def _when(when: float | None, now: float) -> str:
    return "not stated" if when is None else f"{format_time(when)}, {format_relative(when, now)}"


def _scopes(claims: Claims) -> Iterator[tuple[str, str]]:
    order = {name: position for position, name in enumerate(LEVELS)}
    scopes = sorted(claims.scopes, key=lambda name: (order.get(name, len(order)), name))
    if not scopes:
        yield "allows", "all that the pool allows this identity"
    for number, name in enumerate(scopes):
        yield "" if number else "allows", f"{shown(name)}: {LEVELS.get(name, 'unknown to HTCondor')}"
