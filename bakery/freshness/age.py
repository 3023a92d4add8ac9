"""How old a disk of the store is, in words. The look-up imports it: it imports nothing else of ours."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any


def age(manifest: Mapping[str, Any], now: datetime.datetime | None = None) -> str:
    """How long ago a disk was made, in words."""
    try:
        made = datetime.datetime.fromisoformat(str(manifest["made"]))
    except (KeyError, ValueError):
        return "at an unknown time"
    return ago((now or datetime.datetime.now(datetime.UTC)).timestamp() - made.timestamp())


def ago(seconds: float) -> str:
    """A duration in the largest unit of which it has at least two; days at most."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if (count := int(seconds // length)) >= 2 or (count == 1 and unit == "day"):
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return f"{max(int(seconds), 0)} s ago"
