"""What is wrong, or perhaps wrong: as data, as words, and as a refusal.

The severity of a finding in user-data follows its effect:

- an `error` means that at boot this does not do what it says;
- a `warning` means that it does, but is against a schema, a habit or safety;
- a `note` means that it cannot be judged before the boot, and why.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from provisioner.errors import BadInput

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that a check found; its id is also the name by which it is allowed."""

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


def judged(found: Iterable[Finding], *, allowed: Collection[str], strict: bool) -> tuple[Finding, ...]:
    """Without what the user allows by name; strictly, a warning is an error, but a note stays one."""
    left = (finding for finding in found if finding.id not in allowed)
    return tuple(
        replace(finding, severity="error") if strict and finding.severity == "warning" else finding
        for finding in left
    )


def errors(found: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.severity == "error"]


def refusal(found: Sequence[Finding]) -> BadInput:
    """All of them at once, each with the name that would allow it."""
    lines = [f"{finding} If you mean it: --allow {finding.id}." for finding in found]
    return BadInput(lines[0] if len(lines) == 1 else "\n".join(["", *(f"  - {line}" for line in lines)]))


def as_data(found: Iterable[Finding]) -> list[dict[str, Any]]:
    return [asdict(finding) for finding in found]
