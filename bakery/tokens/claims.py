"""Decode an HTCondor IDTOKEN without its signing key, and state its times and scopes in words.

The facts about scopes are those of "Authorization" in HTCondor's manual (admin-manual/security).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

# HTCondor's authorization levels, and what each allows.
LEVELS: Mapping[str, str] = MappingProxyType(
    {
        "ADVERTISE_STARTD": "a startd (a worker) may join the pool",
        "ADVERTISE_MASTER": "a master may report its state to the pool",
        "ADVERTISE_SCHEDD": "a schedd (an access point) may join the pool",
        "READ": "may query the pool",
        "WRITE": "may submit and change jobs",
        "DAEMON": "may act as any daemon of the pool",
        "NEGOTIATOR": "may assign jobs to workers",
        "ADMINISTRATOR": "may administer the pool",
        "CONFIG": "may change the configuration of daemons",
        "OWNER": "may control the machines of the pool as their owner",
        "SOAP": "may use the SOAP interface of old versions",
        "CLIENT": "has no effect on a daemon",
        "DEFAULT": "may do all that is not restricted otherwise",
    }
)
_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True)
class Claims:
    """The header and the payload of a token. Both are sent in clear text; the signature is the secret."""

    header: Mapping[str, Any] = field(repr=False)
    payload: Mapping[str, Any] = field(repr=False)

    @property
    def issued(self) -> float | None:
        """The time of issue in seconds since 1970; None if there is no valid one."""
        return valid_time(self.payload.get("iat"))

    @property
    def expires(self) -> float | None:
        """The expiry time in seconds since 1970; None if there is no valid one."""
        return valid_time(self.payload.get("exp"))

    @property
    def issuer(self) -> str:
        """The trust domain of the pool that issued it; "" if there is none."""
        return _text(self.payload.get("iss"))

    @property
    def subject(self) -> str:
        """The identity, user@domain; "" if there is none."""
        return _text(self.payload.get("sub"))

    @property
    def key_name(self) -> str:
        """The name of the signing key (kid); "" if there is none."""
        return _text(self.header.get("kid"))

    @property
    def scopes(self) -> frozenset[str]:
        """HTCondor's authorization levels, in upper case, of the scopes that begin with condor:/.

        HTCondor ignores all other scopes, and separates them by blanks or commas. Empty: not limited.
        """
        words = re.split(r"[\s,]+", str(self.payload.get("scope", "")))
        return frozenset(
            word.removeprefix("condor:/").upper() for word in words if word.startswith("condor:/")
        )


def claims_of(token: str) -> Claims | None:
    """Return the claims of a token; None if the text is not a token."""
    parts = token.split(".")
    if len(parts) != 3 or not parts[2] or _decoded(parts[2]) is None:
        return None
    header, payload = _object(parts[0]), _object(parts[1])
    return None if header is None or payload is None else Claims(header, payload)


def format_time(when: float) -> str:
    """Format a time in seconds since 1970 as text, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(when))


def format_duration(seconds: float) -> str:
    """Format a duration in its largest unit of which there are at least two: 6 days, 30 hours, 1 second."""
    for length, unit in _UNITS:
        count = int(seconds // length)
        if count >= 2 or (length == 1):
            return f"{count} {unit}{'' if count == 1 else 's'}"
    raise AssertionError("the last unit is a second")


def format_relative(when: float, now: float) -> str:
    """Format a time relative to `now`: `in 6 days`, `2 hours ago`."""
    return f"in {format_duration(when - now)}" if when > now else f"{format_duration(now - when)} ago"


def shown(text: str) -> str:
    """Return an untrusted claim as one short line of printable ASCII."""
    plain = re.sub(r"[^!-~]", "?", text)
    return plain if len(plain) <= 80 else f"{plain[:77]}..."


def valid_time(value: object) -> float | None:
    """Return a claim as seconds since 1970; None if it is not a time that a calendar can represent.

    HTCondor rejects a token with a time that is not a whole number.
    """
    if isinstance(value, bool) or not isinstance(value, int):  # bool is an int
        return None
    return float(value) if 0 <= value < 2**37 else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _object(part: str) -> dict[str, Any] | None:
    raw = _decoded(part)
    try:
        # json.loads reads NaN, Infinity and 1e999, which are not JSON and cannot be written as JSON again.
        found = json.loads(raw, parse_constant=_finite, parse_float=_finite) if raw is not None else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _finite(text: str) -> float:
    """Raises ValueError: the number is not finite."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _decoded(part: str) -> bytes | None:
    if not re.fullmatch(r"[A-Za-z0-9_-]+={0,2}", part):
        return None
    try:
        return base64.urlsafe_b64decode(part.rstrip("=") + "=" * (-len(part.rstrip("=")) % 4))
    except binascii.Error:
        return None
