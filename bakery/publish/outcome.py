"""What a publication has done, or would do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """`location` is where the image is now, `version` its version or id there.

    `uploaded` is False if its content was there already. `actions` are in their order. `retired` are the
    old images that were removed, `in_use` those that stay because a server uses them.
    """

    target: str
    name: str
    location: str
    version: str
    sha256: str
    uploaded: bool
    actions: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    in_use: tuple[str, ...] = ()
    dry_run: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
