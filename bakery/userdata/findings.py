"""The findings of the checks: as data, as text, and as a BadInput.

The severity of a finding says what happens at boot:

- `error`: the user-data does not do what it says;
- `warning`: it does, but contradicts a schema, a convention or good security;
- `note`: it cannot be checked before the boot; the message says why.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from provisioner.errors import BadInput

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One finding; `id` is also its name for --allow, `where` the place in the user-data."""

    id: str
    severity: Severity
    message: str
    fix: str = ""
    where: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.message} {self.fix}".strip()


def error(name: str, message: str, fix: str = "", where: str = "") -> Finding:
    return Finding(name, "error", message, fix, where)


def warning(name: str, message: str, fix: str = "", where: str = "") -> Finding:
    return Finding(name, "warning", message, fix, where)


def note(name: str, message: str, fix: str = "", where: str = "") -> Finding:
    return Finding(name, "note", message, fix, where)


def apply_policy(
    found: Iterable[Finding], *, allowed: Collection[str], strict: bool
) -> tuple[Finding, ...]:
    """Remove the allowed findings. With `strict`, warnings become errors; notes stay notes."""
    left = (finding for finding in found if finding.id not in allowed)
    return tuple(
        replace(finding, severity="error") if strict and finding.severity == "warning" else finding
        for finding in left
    )


def errors(found: Iterable[Finding]) -> list[Finding]:
    """Return the findings of the severity error."""
    return [finding for finding in found if finding.severity == "error"]


def refusal(found: Sequence[Finding]) -> BadInput:
    """Return one BadInput that lists all findings, each with the option that allows it."""
    lines = [f"{finding} If this is intended, use --allow {finding.id}." for finding in found]
    return BadInput(lines[0] if len(lines) == 1 else "\n".join(["", *(f"  - {line}" for line in lines)]))


def as_data(found: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return the findings as objects for JSON."""
    return [asdict(finding) for finding in found]
