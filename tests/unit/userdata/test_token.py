"""Findings about a token, which never contain it."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from bakery.tokens import signing
from bakery.userdata import token
from bakery.userdata.findings import Finding

NOW = 1_800_000_000
POOL = "flock.opensciencegrid.org"
HEADER = {"alg": "HS256", "kid": "POOL"}
GOOD = {
    "iss": POOL,
    "sub": "worker@example",
    "jti": "0123456789abcdef",
    "iat": NOW - 100,
    "exp": NOW + 90 * 86400,
    "scope": "condor:/ADVERTISE_STARTD condor:/ADVERTISE_MASTER condor:/READ",
}


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def made(header: dict[str, Any] | None = None, **changes: Any) -> str:
    payload = {key: value for key, value in (GOOD | changes).items() if value is not None}
    parts = (json.dumps(HEADER | (header or {})).encode(), json.dumps(payload).encode(), b"signature")
    return ".".join(encoded(part) for part in parts)


def found(text: str, pool: str = POOL, trust_domain: str = "") -> list[Finding]:
    return token.findings(text, pool=pool, trust_domain=trust_domain, now=NOW)


def names(text: str, pool: str = POOL, trust_domain: str = "") -> list[tuple[str, str]]:
    return [(one.id, one.severity) for one in found(text, pool, trust_domain)]


def test_a_valid_token() -> None:
    assert found(made()) == []


def test_a_token_must_outlast_the_worker() -> None:
    for lifetime, ends, name in [
        (0, 3600, "expiring-token"),
        (3600, 3600, "expiring-token"),
        (3601, 3600, "outlived-token"),
        (90 * 86400, 90 * 86400, None),
        (90 * 86400 + 1, 90 * 86400, "outlived-token"),
        (60, -1, "expired-token"),
    ]:
        text = made(exp=NOW + ends)
        got = token.findings(text, pool=POOL, now=NOW, lifetime=lifetime)
        assert [one.id for one in got] == ([name] if name else [])


def test_a_minted_token_is_valid() -> None:
    text = signing.mint(
        bytes(64), "k", issuer="cm", subject="a@b", scopes=["ADVERTISE_STARTD"], lifetime=10**6, now=NOW
    )
    assert found(text, pool="CM:9618") == []


@pytest.mark.parametrize(
    ("changes", "name", "severity"),
    [
        ({"exp": NOW - 1}, "expired-token", "error"),
        ({"exp": NOW}, "expired-token", "error"),
        ({"exp": NOW + 3600}, "expiring-token", "warning"),
        ({"exp": None}, "endless-token", "warning"),
        ({"exp": "soon"}, "malformed-token", "error"),
        ({"exp": True}, "malformed-token", "error"),
        ({"exp": 1e300}, "malformed-token", "error"),
        ({"nbf": NOW + 60}, "early-token", "warning"),
        ({"iss": None}, "foreign-token", "error"),
        ({"iss": "another.example"}, "foreign-token", "warning"),
        ({"sub": None}, "nameless-token", "error"),
        ({"sub": "worker"}, "nameless-token", "error"),
        ({"jti": None}, "unnumbered-token", "error"),
        ({"scope": None}, "unscoped-token", "warning"),
        ({"scope": "condor:/READ"}, "useless-token", "error"),
        ({"scope": "openid email"}, "unscoped-token", "warning"),
        ({"scope": "condor:/DAEMON"}, "useless-token", "error"),
        ({"scope": ["condor:/ADVERTISE_STARTD"]}, "malformed-token", "error"),
        ({"sub": ["worker@example"]}, "nameless-token", "error"),
        ({"jti": 5}, "malformed-token", "error"),
        ({"project": 5}, "malformed-token", "error"),
        ({"iat": "today"}, "malformed-token", "error"),
        ({"exp": NOW + 1e6 + 0.5}, "malformed-token", "error"),
        ({"scope": "condor:/ADVERTISE_STARTD condor:/ADMINISTRATOR"}, "mighty-token", "error"),
        ({"scope": "condor:/ADVERTISE_STARTD condor:/WRITE"}, "mighty-token", "warning"),
        ({"header": {"alg": "RS256"}}, "malformed-token", "error"),
        ({"header": {"alg": "none"}}, "malformed-token", "error"),
        ({"header": {"kid": ""}}, "malformed-token", "error"),
    ],
)
def test_the_names_of_the_findings(changes: dict[str, Any], name: str, severity: str) -> None:
    assert names(made(**changes)) == [(name, severity)]
    assert name in token.NAMES


@pytest.mark.parametrize(
    "text", ["abc", "a.b", "a.b.c", "e30.e30", "e30.e30.", "e30.W10.c2ln", "eyJ!.e30.c2ln", "..", "é.é.é"]
)
def test_a_malformed_token(text: str) -> None:
    assert names(text) == [("malformed-token", "error")]
    assert token.claims_of(text) is None


@pytest.mark.parametrize(
    "text",
    ["aaabbb...", "eyJhbGci...", "<token>", "YOUR-TOKEN", "token", "xxxxxxxx", "{{token}}", "$TOKEN",
     "changeme", "my_token", "eyJ\u2026"],
)  # fmt: skip
def test_a_placeholder(text: str) -> None:
    assert names(text) == [("placeholder-token", "error")]


def test_the_expected_issuer() -> None:
    assert names(made(iss="OSPool"), trust_domain="OSPool") == []
    assert names(made(), trust_domain="OSPool") == [("foreign-token", "error")]
    assert names(made(iss="cm.example"), pool="CM.example:9618") == []
    assert names(made(iss="::1"), pool="[::1]:9618") == []


@pytest.mark.parametrize("claim", ["iss", "sub", "scope", "jti"])
def test_claims_are_printed_short_and_in_ascii(claim: str) -> None:
    hostile = "condor:/\x1b[31m\n" + "x" * 500
    changes: dict[str, Any] = {claim: hostile}
    for one in found(made(**changes)):
        assert "\x1b" not in str(one)
        assert len(str(one)) < 400


def test_no_finding_contains_the_token() -> None:
    text = made(exp=1, scope="condor:/READ")
    assert all(part not in str(one) for one in found(text) for part in text.split("."))
