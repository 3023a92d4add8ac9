"""The clock of a collector and the version of its HTCondor, in words. Pure."""

from __future__ import annotations

import re

from bakery.tokens.claims import format_duration

_CLOCK_DIFFERS = 60  # seconds
# The first version that accepts tokens (IDTOKENS), and the oldest one that our tests run.
_FIRST_TOKENS = (8, 9, 2)
_TESTED = (23, 9)


def number_of(version: str) -> str:
    """Return X.Y.Z of `$CondorVersion: X.Y.Z …$`, or ""."""
    found = re.search(r"\d+\.\d+\.\d+", version)
    return found[0] if found else ""


def clock_differs(ahead: float | None) -> int:
    """Return by how many seconds the clock is ahead (behind: negative); 0 for a minute, or unknown."""
    return int(ahead) if ahead is not None and abs(ahead) > _CLOCK_DIFFERS else 0


def clock_text(ahead: int) -> str:
    """Say that the collector's clock differs from ours by so many seconds; "" for 0."""
    if not ahead:
        return ""
    direction = "ahead of" if ahead > 0 else "behind"
    return (
        f"The collector's clock is at least {format_duration(abs(ahead))} {direction} the clock here."
        " Correct the wrong one (timedatectl set-ntp true)."
    )


def old_text(version: str) -> str:
    """Say what does not work with a collector of an old HTCondor; "" if it is not old, or unknown."""
    number = number_of(version)
    parts = tuple(map(int, number.split("."))) if number else _TESTED
    if parts < _FIRST_TOKENS:
        return (
            f"The collector runs HTCondor {number}, which does not know tokens (IDTOKENS): workers with a"
            " token cannot join. An administrator of the pool must upgrade it."
        )
    if parts < _TESTED:
        return (
            f"The collector runs HTCondor {number}. Workers and this command are tested with"
            f" {_TESTED[0]}.{_TESTED[1]} and later; HTCondor supports adjacent major versions only."
        )
    return ""
