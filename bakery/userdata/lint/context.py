"""The context of a check, and how a token is recognised."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

TOKEN = re.compile(r"eyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*)?")


@dataclass(frozen=True)
class Context:
    """The time and the target of a check.

    `now` is in seconds since the epoch; `trust_domain` is the pool's, if the user names one; `where` is the
    part of the user-data that is being checked.
    """

    now: float
    trust_domain: str = ""
    cloud: str | None = None
    where: str = ""

    def inside(self, name: str) -> Context:
        """The context of a part with this name."""
        return replace(self, where=f"{self.where}: {name}" if self.where else name)
