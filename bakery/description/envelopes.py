"""Signed envelopes of statements (DSSE 1.0), one on each line of a file: NAME.intoto.jsonl.

Source: https://github.com/secure-systems-lab/dsse, protocol.md and envelope.md. Keys are those of minisign.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from minisign import PublicKey, SecretKey

from bakery.description import minisign_keys

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def signed(payload: bytes, key: SecretKey) -> str:
    """The line with the envelope of a statement."""
    key_id, signature = minisign_keys.signer(key.sign(_encoded(payload), prehash=False))
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode("ascii"),
        "signatures": [
            {
                "keyid": minisign_keys.shown_id(key_id),
                "sig": base64.b64encode(signature).decode("ascii"),
            }
        ],
    }
    return json.dumps(envelope) + "\n"


def payloads(data: bytes, key: PublicKey) -> Sequence[bytes] | None:
    """The statements of all envelopes; None if one of them was not signed with this key."""
    try:
        return [_opened(json.loads(line), key) for line in data.splitlines()]
    except (ValueError, KeyError, TypeError, IndexError, InvalidSignature):
        return None


def _opened(envelope: dict[str, Any], key: PublicKey) -> bytes:
    payload = _decoded(envelope["payload"])
    _, public = minisign_keys.raw(key)
    signature = _decoded(envelope["signatures"][0]["sig"])
    Ed25519PublicKey.from_public_bytes(public).verify(signature, _encoded(payload, envelope["payloadType"]))
    return payload


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def _encoded(payload: bytes, kind: str = PAYLOAD_TYPE) -> bytes:
    """The bytes that are signed: PAE of DSSE."""
    return b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)
