"""Keys of minisign, read from their files; the signatures are those of the program minisign.

Source: https://jedisct1.github.io/minisign/, "Format of the files". A secret key may be encrypted.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

from minisign import Error, PublicKey, SecretKey, Signature

from bakery.runtime.files import is_world_readable, read_limited
from provisioner.errors import BadInput

_LIMIT = 4096  # bytes; the files have less than 300
_HINT = "minisign -G creates a pair of keys."
Passphrase = Callable[[], str]


def secret_key(path: Path, passphrase: Passphrase) -> SecretKey:
    """A secret key; `passphrase` is called if it is encrypted. Raises BadInput."""
    data = read_limited(path, _LIMIT)
    if is_world_readable(path):
        raise BadInput(f"{path} is readable by all users.", f"Use chmod 600 {path}.")
    try:
        key = SecretKey.from_bytes(data)
    except (Error, ValueError):
        raise BadInput(f"{path} is not a secret key of minisign.", _HINT) from None
    if key.is_encrypted():
        try:
            key.decrypt(passphrase())
        except (Error, ValueError):
            raise BadInput(f"The passphrase does not decrypt the key {path}.") from None
    return key


def public_key(path: Path) -> PublicKey:
    """Raises BadInput."""
    try:
        return PublicKey.from_bytes(read_limited(path, _LIMIT))
    except (Error, ValueError):
        raise BadInput(
            f"{path} is not a public key of minisign.", "It is the file minisign.pub of minisign -G."
        ) from None


def raw(key: PublicKey) -> tuple[bytes, bytes]:
    """The id of a key, and the Ed25519 public key. The two bytes before them are the algorithm."""
    decoded = base64.b64decode(key.to_base64())
    return decoded[2:10], decoded[10:]


def signer(signature: Signature) -> tuple[bytes, bytes]:
    """The id of the key, and the Ed25519 signature, in a signature of minisign."""
    decoded = base64.b64decode(bytes(signature).split(b"\n")[1])
    return decoded[2:10], decoded[10:]


def shown_id(key_id: bytes) -> str:
    """The id of a key as minisign prints it."""
    return f"{int.from_bytes(key_id, 'little'):X}"
