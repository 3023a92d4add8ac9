"""The disk that an engine made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Made:
    """A finished, sealed raw disk.

    `obstacle` says why another bake of the plan gives other bytes, as a clause; it is "" if the bytes
    depend on the content alone. `date` is then the latest time in the disk, in seconds since 1970.
    """

    disk: Path
    date: int = 0
    obstacle: str = ""
