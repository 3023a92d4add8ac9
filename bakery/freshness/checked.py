"""When the repositories of an image or a checkpoint were asked last, and their answer.

The file NAME.checked beside the disk. It belongs to the disk whose manifest was written at `made`: another
disk that has the same name since does not inherit it. Losing it costs a comparison of the package lists.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bakery.freshness.lock import Seen, Update, seen_from_json, seen_to_json
from bakery.store.store import checked_path


@dataclass(frozen=True)
class Checked:
    """`at` is in seconds since 1970. `updates` are those that the repositories described by `seen` have."""

    at: float
    seen: Mapping[str, Seen]
    updates: tuple[Update, ...]


def read(disk: Path, manifest: Mapping[str, Any]) -> Checked | None:
    """The last answer for this disk; None if there is none, or the file is damaged."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        data = json.loads(checked_path(disk).read_text("utf-8"))
        if data["made"] == manifest.get("made"):
            updates = tuple(Update(**update) for update in data["updates"])
            return Checked(float(data["at"]), seen_from_json(data["seen"]), updates)
    return None


def write(
    disk: Path, manifest: Mapping[str, Any], seen: Mapping[str, Seen], updates: tuple[Update, ...]
) -> None:
    """Write the answer for a disk of the store atomically.

    Does nothing without write permission, or on a full disk.
    """
    data = {
        "made": manifest.get("made"),
        "at": time.time(),
        "seen": seen_to_json(seen),
        "updates": [asdict(update) for update in updates],
    }
    with suppress(OSError):
        with tempfile.NamedTemporaryFile("w", dir=disk.parent, prefix=".checked-", delete=False) as out:
            json.dump(data, out, indent=1)
            os.fchmod(out.fileno(), 0o644)
        Path(out.name).rename(checked_path(disk))
