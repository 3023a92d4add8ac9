"""The problems of the token of a worker's file, as findings of gen-userdata."""

from __future__ import annotations

from bakery.tokens.claims import Claims, claims_of, format_time
from bakery.tokens.problems import NAMES, problems_of
from bakery.userdata.findings import Finding

__all__ = ["NAMES", "Claims", "claims_of", "findings", "format_time"]


def findings(
    token: str, *, pool: str, trust_domain: str = "", now: float, lifetime: int = 0
) -> list[Finding]:
    """Return the findings about a token; the arguments are those of `problems_of`."""
    found = problems_of(token, pool=pool, trust_domain=trust_domain, now=now, lifetime=lifetime)
    return [Finding(one.name, one.severity, one.message, one.fix) for one in found]
