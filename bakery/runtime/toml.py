"""Read TOML of users."""

from __future__ import annotations

from typing import Any


def loads(text: str) -> dict[str, Any]:
    """Return the table. Raises ValueError, whose text is for people, also for too many brackets."""
    import tomllib  # a third of the start-up time of some commands

    try:
        return tomllib.loads(text)
    except RecursionError:
        raise tomllib.TOMLDecodeError("arrays or tables are nested too deeply") from None
