"""Fingerprints of armored OpenPGP public keys, without gpg: RFC 9580, sections 4.2 (packets), 5.5.4."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator

_BLOCK = re.compile(
    r"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.DOTALL
)
_PUBLIC_KEY = 6  # the tag of the packet of a primary key


def fingerprints(armored: bytes) -> tuple[str, ...]:
    """The fingerprints of the primary keys, in upper case. Raises ValueError for other content."""
    blocks = _BLOCK.findall(armored.decode("ascii", "replace"))
    found = [
        _fingerprint(body)
        for block in blocks
        for tag, body in _packets(_decoded(block))
        if tag == _PUBLIC_KEY
    ]
    if not found:
        raise ValueError("not an armored public key")
    return tuple(found)


def _decoded(block: str) -> bytes:
    """The inside of an armored block: headers, an empty line, base64, an optional checksum."""
    _, _, body = block.replace("\r", "").partition("\n\n") if ":" in block else ("", "", block)
    rows = [row for row in body.split() if not row.startswith("=")]
    try:
        return base64.b64decode("".join(rows), validate=True)
    except binascii.Error:
        raise ValueError("damaged") from None


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and body of each packet. Raises ValueError."""
    position = 0
    while position < len(data):
        first = data[position]
        if not first & 0x80:
            raise ValueError("damaged")
        if first & 0x40:
            tag, (size, length) = first & 0x3F, _new_length(data, position + 1)
        else:
            tag, (size, length) = (first >> 2) & 0x0F, _old_length(data, position + 1, first & 3)
        start = position + 1 + size
        if start + length > len(data):
            raise ValueError("damaged")
        yield tag, data[start : start + length]
        position = start + length


def _new_length(data: bytes, position: int) -> tuple[int, int]:
    """The number of bytes of the length, and the length."""
    first = data[position] if position < len(data) else 255
    if first < 192:
        return 1, first
    if first < 224:
        return 2, ((first - 192) << 8) + int.from_bytes(data[position + 1 : position + 2], "big") + 192
    if first == 255:
        return 5, int.from_bytes(data[position + 1 : position + 5], "big")
    raise ValueError("damaged")  # partial lengths are for data packets only


def _old_length(data: bytes, position: int, kind: int) -> tuple[int, int]:
    size = 1 << kind
    if kind == 3:
        return 0, len(data) - position
    return size, int.from_bytes(data[position : position + size], "big")


def _fingerprint(body: bytes) -> str:
    if body[:1] == b"\x06":
        return hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper()
    if body[:1] == b"\x04":
        return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).hexdigest().upper()
    raise ValueError("of a version that is not supported")
