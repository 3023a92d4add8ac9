"""The record of applied steps on a remote machine: their ids, in order.

Ids are chained: an equal id means the same step after the same previous steps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import takewhile

from provisioner.errors import BadInput
from provisioner.plan import PlannedStep

PATH = "/var/lib/worker-bakery/applied.json"
FORMAT = 1


def done(steps: Sequence[PlannedStep], recorded: Sequence[str]) -> int:
    """The number of leading steps that are recorded as applied. All later ones must be applied (again)."""
    same = takewhile(
        lambda pair: pair[0].id == pair[1],
        zip(steps, recorded, strict=False),  # either may be longer
    )
    return sum(1 for _ in same)


def parse(text: str) -> tuple[str, ...]:
    """The ids in the text of a record; empty for an empty text. Raises BadInput."""
    if not text.strip():
        return ()
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise ValueError
        return tuple(str(entry["id"]) for entry in found["steps"])
    except (ValueError, KeyError, TypeError):
        raise BadInput(
            f"The record {PATH} on the machine is not valid.", "Apply all steps again: --from-scratch."
        ) from None


def text(steps: Sequence[PlannedStep]) -> bytes:
    """The record of these steps, as JSON."""
    entries = [{"id": step.id, "role": step.role, "title": step.title} for step in steps]
    return (json.dumps({"format": FORMAT, "steps": entries}, indent=1) + "\n").encode()
