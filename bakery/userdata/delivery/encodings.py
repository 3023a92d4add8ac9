"""Encode user-data with gzip and base64; equal input gives equal bytes."""

from __future__ import annotations

import base64
from dataclasses import dataclass


@dataclass(frozen=True)
class Encoding:
    gzip: bool = False
    base64: bool = False


def encoded(payload: bytes, encoding: Encoding) -> bytes:
    """Return the bytes to write for a payload: itself or its base64, with a final newline."""
    return base64.b64encode(payload) + b"\n" if encoding.base64 else payload


def payload_of(text: str, encoding: Encoding) -> bytes:
    """Return the bytes that the machine receives: the text, compressed if requested."""
    return gzipped(text.encode()) if encoding.gzip else text.encode()


def gzipped(data: bytes) -> bytes:
    """Compress with gzip, without a time or an operating system in the header."""
    import gzip  # loads zlib, which a default run does not need

    made = bytearray(gzip.compress(data, 9, mtime=0))
    made[9] = 255  # the operating system ("unknown"): versions of Python differ
    return bytes(made)


def base64_length(length: int) -> int:
    """Return the length in base64 of so many bytes, without newlines."""
    return (length + 2) // 3 * 4
