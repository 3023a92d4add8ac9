"""Remove secrets from text: tokens by their format, other secrets by value."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

# JSON Web Tokens: header.payload.signature in base64url; {" at the start of a JSON object encodes to eyJ.
_JWT = re.compile(r"eyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*)?")
_known: set[str] = set()


def hide(secret: str) -> None:
    """Have `scrub` replace this text from now on; strings of fewer than 8 characters are ignored."""
    if len(secret) >= 8:
        _known.add(secret)


def scrub(text: str) -> str:
    """The text with tokens replaced by [token] and hidden secrets by [secret]."""
    for secret in _known:
        text = text.replace(secret, "[secret]")
    return _JWT.sub("[token]", text)


def shown(argv: Sequence[str]) -> str:
    """The command as a shell command line for messages, with secrets removed."""
    return scrub(shlex.join(argv))
