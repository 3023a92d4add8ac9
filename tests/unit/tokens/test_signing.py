"""Tokens are signed as HTCondor signs them."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64decode
from typing import Any

import jwt
import pytest

from bakery.tokens.signing import derived_key, mint
from provisioner.errors import BadInput

KEY = bytes(range(64))
# Calculated with hmac and hashlib by RFC 5869 over the XORed bytes.
KNOWN = "de493dcb7cd10756ca8fbd20b4eee42b3722d36475cfa34315e3b6174b9feb63"
WHO: dict[str, Any] = {"issuer": "pool.example", "subject": "worker@cloud"}


def claims(token: str, key_id: str = "k") -> dict[str, Any]:
    key = derived_key(KEY, key_id)
    return jwt.decode(token, key, algorithms=["HS256"], issuer="pool.example")


def test_a_token_has_the_issuer_the_subject_and_the_scopes() -> None:
    token = mint(KEY, "k", **WHO, scopes=["ADVERTISE_STARTD", "READ"], lifetime=60)
    decoded = claims(token)
    assert decoded.pop("exp") == decoded.pop("iat") + 60
    assert len(decoded.pop("jti")) == 32
    assert decoded == {
        "iss": "pool.example",
        "sub": "worker@cloud",
        "scope": "condor:/ADVERTISE_STARTD condor:/READ",
    }


def test_the_header_is_that_of_htcondor() -> None:
    first = mint(KEY, "k", **WHO).split(".")[0]
    header = json.loads(urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    assert header == {"alg": "HS256", "kid": "k"}


def test_lifetime_and_scopes_are_optional() -> None:
    decoded = claims(mint(KEY, "k", **WHO, now=int(time.time()) - 5))
    assert set(decoded) == {"iss", "sub", "iat", "jti"}


def test_every_token_has_its_own_id() -> None:
    assert claims(mint(KEY, "k", **WHO))["jti"] != claims(mint(KEY, "k", **WHO))["jti"]


def test_only_the_key_named_pool_is_doubled() -> None:
    assert derived_key(KEY, "POOL") != derived_key(KEY, "k")
    assert derived_key(KEY * 2, "k") == derived_key(KEY, "POOL")
    assert claims(mint(KEY, "POOL", **WHO), "POOL")["sub"] == "worker@cloud"


def test_the_derivation_does_not_change() -> None:
    assert derived_key(b"condor", "k").hex() == KNOWN


@pytest.mark.parametrize(
    ("key_id", "issuer", "subject"),
    [
        ("", "pool", "a@b"),
        ("k", "", "a@b"),
        ("k", "a b", "a@b"),
        ("k", "a,b", "a@b"),
        ("k", "a\nb", "a@b"),
        ("k", "é", "a@b"),
        ("k", "pool", "worker"),
        ("k", "pool", "@b"),
        ("k", "pool", ""),
    ],
)
def test_a_token_that_a_collector_would_reject_is_an_error(key_id: str, issuer: str, subject: str) -> None:
    with pytest.raises(BadInput):
        mint(KEY, key_id, issuer=issuer, subject=subject)
