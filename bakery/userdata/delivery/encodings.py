"""The dress of user-data: gzip and base64, the same bytes each time."""

from __future__ import annotations

import base64
from dataclasses import dataclass


@dataclass(frozen=True)
class Encoding:
    gzip: bool = False
    base64: bool = False


def dressed(payload: bytes, encoding: Encoding) -> bytes:
    """The bytes to show, of what `payload_of` made."""
    return base64.b64encode(payload) + b"\n" if encoding.base64 else payload


def payload_of(text: str, encoding: Encoding) -> bytes:
    """The bytes that the machine is to get."""
    return zipped(text.encode()) if encoding.gzip else text.encode()


def zipped(data: bytes) -> bytes:
    import gzip  # needs zlib, which a default run does without

    made = bytearray(gzip.compress(data, 9, mtime=0))
    made[9] = 255  # which system packed it: versions of Python differ
    return bytes(made)


def base64_length(length: int) -> int:
    return (length + 2) // 3 * 4
