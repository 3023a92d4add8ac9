"""Remove secrets from text: tokens by their format, other secrets by value."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# JSON Web Tokens: header.payload.signature in base64url; {" at the start of a JSON object encodes to eyJ.
_JWT = re.compile(r"eyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*)?")
# Base64 of at least 24 characters, also in lines.
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}(?:\r?\n[ \t]*[A-Za-z0-9+/]+)*")
_known: set[str] = set()


def hide(secret: str) -> None:
    """Have `scrub` replace this text from now on; strings of fewer than 8 characters are ignored."""
    if len(secret) >= 8:
        _known.add(secret)


@contextmanager
def hiding(secret: str) -> Iterator[None]:
    """Have `scrub` replace this text in the block."""
    if secret in _known:
        yield
        return
    hide(secret)
    try:
        yield
    finally:
        _known.discard(secret)


def scrub(text: str) -> str:
    """The text with tokens replaced by [token] and hidden secrets by [secret]."""
    for secret in _known:
        text = text.replace(secret, "[secret]")
    return _JWT.sub("[token]", text)


def has_secret(text: str) -> bool:
    """Whether the text contains a token or a hidden secret, as it is or in base64."""
    return scrub(text) != text or any(scrub(one) != one for one in _decoded(text))


def _decoded(text: str) -> Iterator[str]:
    """What the text contains in base64, from each of the four offsets at which a group can begin."""
    for found in _BASE64.findall(text):
        run = "".join(found.split())
        for offset in range(4):
            whole = run[offset : offset + (len(run) - offset) // 4 * 4]
            yield base64.b64decode(whole).decode("latin-1")


def shown(argv: Sequence[str]) -> str:
    """The command as a shell command line for messages, with secrets removed."""
    return scrub(shlex.join(argv))
