"""What a running machine remembers of the plans applied to it: the ids of the steps done, in order.

As ids are chained, the same id means the same step after the same steps before it.
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
    """How many of the steps are done. From the first other one on, all are to be done (again)."""
    same = takewhile(
        lambda pair: pair[0].id == pair[1],
        zip(steps, recorded, strict=False),  # either may go on for longer
    )
    return sum(1 for _ in same)


def parse(text: str) -> tuple[str, ...]:
    """The ids; none if there is no text. Raises BadInput."""
    if not text.strip():
        return ()
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise ValueError
        return tuple(str(entry["id"]) for entry in found["steps"])
    except (ValueError, KeyError, TypeError):
        raise BadInput(
            f"The machine's record {PATH} cannot be read.", "Apply all steps anew: --from-scratch."
        ) from None


def text(steps: Sequence[PlannedStep]) -> bytes:
    entries = [{"id": step.id, "role": step.role, "title": step.title} for step in steps]
    return (json.dumps({"format": FORMAT, "steps": entries}, indent=1) + "\n").encode()
