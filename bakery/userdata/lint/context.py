"""What all checks of one piece of user-data share."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

TOKEN = re.compile(r"eyJ[\w-]{4,}\.[\w-]{4,}(?:\.[\w-]*)?")


@dataclass(frozen=True)
class Context:
    """At what time, for which pool, and in which part of the whole."""

    now: float
    trust_domain: str = ""
    cloud: str | None = None
    where: str = ""

    def inside(self, name: str) -> Context:
        return replace(self, where=f"{self.where}: {name}" if self.where else name)
