"""Sign HTCondor IDTOKENs without HTCondor.

HTCondor derives the HMAC key by HKDF from the bytes of the key file, which it stores XORed with a fixed
pattern. The bytes of the key named POOL are concatenated with themselves first (getTokenSigningKey in
condor_utils/store_cred.cpp of its source).
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from provisioner.errors import BadInput

POOL_KEY = "POOL"
PASSWORD_DIRECTORY = Path("/etc/condor/passwords.d")  # SEC_PASSWORD_DIRECTORY of HTCondor's packages
_SCRAMBLE = b"\xde\xad\xbe\xef"
_LARGEST = 64 * 1024  # bytes of a key file


def mint(
    signing_key: bytes,
    key_id: str,
    *,
    issuer: str,
    subject: str,
    scopes: Sequence[str] = (),
    lifetime: int | None = None,
    now: int | None = None,
    is_password: bool = False,
) -> str:
    """Return a token of the identity `subject` (user@domain).

    `signing_key` is the content of the key file, `is_password` as for `derived_key`. `scopes` limit the
    token to authorization levels (ADVERTISE_STARTD…), `lifetime` to so many seconds. Raises BadInput:
    HTCondor would reject such a token.
    """
    import jwt  # imported here: takes 0.25 s with cryptography

    check(key_id, issuer, subject)
    issued = int(time.time()) if now is None else now
    claims: dict[str, str | int] = {"iss": issuer, "sub": subject, "iat": issued}
    claims["jti"] = secrets.token_hex(16)  # HTCondor 25 rejects a token without it
    if lifetime is not None:
        claims["exp"] = issued + lifetime
    if scopes:
        claims["scope"] = " ".join(f"condor:/{scope}" for scope in scopes)
    # HTCondor's own tokens have no "typ".
    headers = {"kid": key_id, "typ": None}
    key = derived_key(signing_key, key_id, is_password=is_password)
    return jwt.encode(claims, key, algorithm="HS256", headers=headers)


def derived_key(signing_key: bytes, key_id: str, *, is_password: bool = False) -> bytes:
    """Return the HMAC key that HTCondor derives from the content of a signing-key file.

    `is_password` is SEC_TOKEN_POOL_SIGNING_KEY_IS_PASSWORD of the pool: the key POOL, a pool password of
    HTCondor 8.4 or older, ends before its first NUL byte.
    """
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    if is_password and key_id == POOL_KEY:
        plain = _scrambled(signing_key.partition(b"\0")[0]).partition(b"\0")[0]
    else:
        plain = _scrambled(signing_key)
    material = plain * 2 if key_id == POOL_KEY else plain
    return HKDF(algorithm=SHA256(), length=32, salt=b"htcondor", info=b"master jwt").derive(material)


def read_key(path: Path) -> bytes:
    """Return the content of a signing-key file, which is as secret as a root password.

    Raises BadInput: it cannot be read, is empty or too large, is not a regular file, or other users have
    access to it. HTCondor does not read such a file either.
    """
    try:
        # O_NONBLOCK: a named pipe without a writer is refused, not waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            _check_key_file(path, found)
            content = file.read(_LARGEST + 1)
    except OSError as error:
        hint = (
            "Run the command as root on the central manager of the pool, or give a copy of the key: --key."
        )
        raise BadInput(f"Cannot read the signing key {path}: {error.strerror}.", hint) from None
    if not content:
        raise BadInput(f"The signing key {path} is empty.", "HTCondor makes it when the collector starts.")
    if len(content) > _LARGEST:
        raise BadInput(f"The signing key {path} is larger than {_LARGEST} bytes.", "Choose another --key.")
    return content


def check(key_id: str, issuer: str, subject: str) -> None:
    """Raise BadInput if HTCondor would reject a token with this key name, issuer and identity."""
    if not key_id:
        raise BadInput("The name of the signing key must not be empty.")
    if not re.fullmatch(r"[!-+\--~]+", issuer):
        raise BadInput(
            f"{issuer!r} is not a trust domain.",
            "Use the TRUST_DOMAIN of the pool: one word without a comma.",
        )
    user, at, domain = subject.partition("@")
    if not (user and at and domain):
        # A collector of HTCondor 23.9 aborts on a token without a subject.
        raise BadInput(f"{subject!r} is not an identity.", "An identity has the form user@domain.")


def _check_key_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise BadInput(f"The signing key {path} is not a regular file.")
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise BadInput(
            f"Other users have access to the signing key {path} (mode {mode:04o}): they could issue tokens"
            " for any identity.",
            f"Run: chmod 600 {path}. If others may have read the key, replace it.",
        )
    if found.st_uid not in (0, os.geteuid()):
        raise BadInput(
            f"The signing key {path} belongs to user {found.st_uid}.", "It must be yours or root's."
        )


def _scrambled(content: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(content, cycle(_SCRAMBLE), strict=False))
