"""Sign HTCondor IDTOKENs without HTCondor, for throw-away pools, whose signing key we generate.

HTCondor derives the HMAC key by HKDF from the bytes of the key file, which it stores XORed with a fixed
pattern. The bytes of the key named POOL are concatenated with themselves first.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from itertools import cycle

from provisioner.errors import BadInput

_SCRAMBLE = b"\xde\xad\xbe\xef"


def mint(
    signing_key: bytes,
    key_id: str,
    *,
    issuer: str,
    subject: str,
    scopes: Sequence[str] = (),
    lifetime: int | None = None,
    now: int | None = None,
) -> str:
    """Return a token of the identity `subject` (user@domain).

    `scopes` limit it to authorization levels (ADVERTISE_STARTD…), `lifetime` to so many seconds. Raises
    BadInput: HTCondor would reject such a token.
    """
    import jwt  # imported here: takes 0.25 s with cryptography

    _check(key_id, issuer, subject)
    issued = int(time.time()) if now is None else now
    claims: dict[str, str | int] = {"iss": issuer, "sub": subject, "iat": issued}
    claims["jti"] = secrets.token_hex(16)  # HTCondor 25 rejects a token without it
    if lifetime is not None:
        claims["exp"] = issued + lifetime
    if scopes:
        claims["scope"] = " ".join(f"condor:/{scope}" for scope in scopes)
    # HTCondor's own tokens have no "typ".
    headers = {"kid": key_id, "typ": None}
    return jwt.encode(claims, derived_key(signing_key, key_id), algorithm="HS256", headers=headers)


def derived_key(signing_key: bytes, key_id: str) -> bytes:
    """Return the HMAC key that HTCondor derives from the content of a signing-key file."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    plain = bytes(a ^ b for a, b in zip(signing_key, cycle(_SCRAMBLE), strict=False))
    material = plain * 2 if key_id == "POOL" else plain
    return HKDF(algorithm=SHA256(), length=32, salt=b"htcondor", info=b"master jwt").derive(material)


def _check(key_id: str, issuer: str, subject: str) -> None:
    if not key_id:
        raise BadInput("The name of the signing key must not be empty.")
    if not issuer or any(character in issuer for character in " \t,"):
        raise BadInput(f"{issuer!r} is not a trust domain: it is empty, or has a blank or a comma.")
    user, at, domain = subject.partition("@")
    if not (user and at and domain):
        # A collector of HTCondor 23.9 aborts on a token without a subject.
        raise BadInput(f"{subject!r} is not an identity.", "An identity has the form user@domain.")
