"""What became of each image of a batch, and the exit code of all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provisioner.errors import BakeryError

# Exit codes, the worst first: a cause that nobody foresaw, a download that may have been tampered with, an
# image that fails its proof, input to correct, this machine, and last what another attempt may solve.
SEVERITY = (1, 7, 4, 2, 3, 6, 5)


@dataclass(frozen=True)
class Outcome:
    """The result for one image: `path` and `manifest` (without its plan), or `error`.

    `seconds` are those of its own job, without the shared checkpoints.
    """

    label: str
    seconds: float
    path: Path | None = None
    from_store: bool = False
    manifest: dict[str, Any] = field(default_factory=dict)
    error: BakeryError | None = None

    @property
    def levels(self) -> tuple[str, ...]:
        """The proven verification levels, the lowest first."""
        return tuple(self.manifest.get("proof", ()))


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """0 if every image was made, else the worst exit code of an error, in the order of SEVERITY."""
    codes = {outcome.error.exit_code for outcome in outcomes if outcome.error}
    return min(codes, key=_rank, default=0)


def _rank(code: int) -> tuple[int, int]:
    return SEVERITY.index(code) if code in SEVERITY else len(SEVERITY), code
