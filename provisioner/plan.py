"""A plan: a base and the steps that make a worker of it. Only data; `plan.json` is its one file form.

Each step has an id, `sha256(id before + its name-free actions)`, the first chained on the base's.
So the last id names the image, any prefix names a checkpoint, and a change in one step changes
the ids from there on and no others. What is hashed is what will be executed, never the intent.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from provisioner import actions
from provisioner.actions import Action
from provisioner.errors import BadInput

FORMAT = 1
# The last step of a plan for an image may write the image's own name, which holds the plan's id.
STAMP = "stamp the image with its name"


@dataclass(frozen=True)
class PlannedStep:
    role: str
    title: str
    actions: tuple[Action, ...]
    id: str


@dataclass(frozen=True)
class Plan:
    """`base` is the name people use, `base_id` the sha256 (hex) of what it is built from."""

    base: str
    base_id: str
    kind: str
    steps: tuple[PlannedStep, ...]

    @property
    def id(self) -> str:
        """Of all steps but the stamp: what that writes is made of this id."""
        kept = [step for step in self.steps if step.title != STAMP]
        return kept[-1].id if kept else self.base_id

    @property
    def image(self) -> str:
        """The name of the image that comes of it."""
        return f"{self.kind}-{self.base}-{self.id[:12]}"

    def role_ends(self) -> tuple[int, ...]:
        """How many steps are done at the end of each role: where checkpoints may stand."""
        roles = [step.role for step in self.steps]
        return tuple(n for n in range(1, len(roles) + 1) if n == len(roles) or roles[n] != roles[n - 1])

    def id_after(self, steps: int) -> str:
        return self.steps[steps - 1].id if steps else self.base_id


def chained_id(before: str, step_actions: tuple[Action, ...]) -> str:
    text = json.dumps([actions.to_json(a) for a in step_actions], sort_keys=True)
    return hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()


def to_json(plan: Plan) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "base": plan.base,
        "base_id": plan.base_id,
        "kind": plan.kind,
        "id": plan.id,
        "steps": [
            {
                "role": step.role,
                "title": step.title,
                "id": step.id,
                "actions": [actions.to_json(action) for action in step.actions],
            }
            for step in plan.steps
        ],
    }


def from_json(data: dict[str, Any]) -> Plan:
    """Raises BadInput for another format or ids that do not fit the actions."""
    if data.get("format") != FORMAT:
        raise BadInput(
            f"The plan has format {data.get('format')!r}, this version reads {FORMAT}.",
            "Make it anew with bake-image --dry-run --json.",
        )
    steps = tuple(_step(entry) for entry in data["steps"])
    before = data["base_id"]
    for step in steps:
        if chained_id(before, step.actions) != step.id:
            raise BadInput(f"The plan was changed by hand: the id of {step.title!r} does not fit.")
        before = step.id
    return Plan(data["base"], data["base_id"], data["kind"], steps)


def _step(entry: dict[str, Any]) -> PlannedStep:
    step_actions = tuple(actions.from_json(action) for action in entry["actions"])
    return PlannedStep(entry["role"], entry["title"], step_actions, entry["id"])
