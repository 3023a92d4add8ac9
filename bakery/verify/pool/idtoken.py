"""Sign an HTCondor IDTOKEN without HTCondor; for throw-away pools, whose key we made ourselves.

HTCondor derives the key of the signature from the bytes of the key file, which it keeps XORed
with a fixed pattern, by HKDF. Only the key named POOL is written twice before.
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
    """A token for `subject`, at most for `scopes` (ADVERTISE_STARTD…) and `lifetime` seconds."""
    import jwt  # a quarter of a second with cryptography

    _check(key_id, issuer, subject)
    issued = int(time.time()) if now is None else now
    claims: dict[str, str | int] = {"iss": issuer, "sub": subject, "iat": issued}
    claims["jti"] = secrets.token_hex(16)  # 25.x refuses a token without
    if lifetime is not None:
        claims["exp"] = issued + lifetime
    if scopes:
        claims["scope"] = " ".join(f"condor:/{scope}" for scope in scopes)
    # HTCondor's own tokens have no "typ".
    headers = {"kid": key_id, "typ": None}
    return jwt.encode(claims, derived_key(signing_key, key_id), algorithm="HS256", headers=headers)


def derived_key(signing_key: bytes, key_id: str) -> bytes:
    """The HMAC key that HTCondor makes of the content of a signing-key file."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    plain = bytes(a ^ b for a, b in zip(signing_key, cycle(_SCRAMBLE), strict=False))
    material = plain * 2 if key_id == "POOL" else plain
    return HKDF(algorithm=SHA256(), length=32, salt=b"htcondor", info=b"master jwt").derive(material)


def _check(key_id: str, issuer: str, subject: str) -> None:
    if not key_id:
        raise BadInput("A token needs the name of its signing key.")
    if not issuer or any(character in issuer for character in " \t,"):
        raise BadInput(f"{issuer!r} is no trust domain: it has a blank, a comma or nothing.")
    user, at, domain = subject.partition("@")
    if not (user and at and domain):
        # Without a subject, a 23.9 collector aborts.
        raise BadInput(f"{subject!r} is no identity.", "Give user@domain.")
