"""Plans: a base and the steps that turn it into a worker. A plan is data; its file format is JSON.

Each step has an id, `sha256(previous id + actions)`; the first is chained to the id of the base, or to that
of the base with an enlarged root. The last id identifies the image, and the id of each prefix identifies a
checkpoint. A change of one step changes its id and all later ones. Ids depend on the actions to execute,
not on roles or titles.
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
# The title of the step that writes the name of the image, which contains the id of the plan, to the image.
STAMP = "stamp the image with its name"


@dataclass(frozen=True)
class PlannedStep:
    """A step lowered to actions; `id` is chained to the previous step."""

    role: str
    title: str
    actions: tuple[Action, ...]
    id: str


@dataclass(frozen=True)
class Plan:
    """`base` is the name of the base, `base_id` the SHA-256 (hex) of what it is built from.

    `root_size` is the size in bytes to which the disk, its root partition and its root file system are
    enlarged before the first step; 0: they stay as the base has them.
    """

    base: str
    base_id: str
    kind: str
    steps: tuple[PlannedStep, ...]
    root_size: int = 0

    @property
    def id(self) -> str:
        """The id of the last step except the stamp, whose content depends on this id."""
        kept = [step for step in self.steps if step.title != STAMP]
        return kept[-1].id if kept else self.id_after(0)

    @property
    def image(self) -> str:
        """The name of the resulting image."""
        return f"{self.kind}-{self.base}-{self.id[:12]}"

    def role_ends(self) -> tuple[int, ...]:
        """The number of steps at the end of each role, where a checkpoint is possible."""
        roles = [step.role for step in self.steps]
        return tuple(n for n in range(1, len(roles) + 1) if n == len(roles) or roles[n] != roles[n - 1])

    def id_after(self, steps: int) -> str:
        """The id of the state after this number of steps."""
        return self.steps[steps - 1].id if steps else start_id(self.base_id, self.root_size)


def start_id(base_id: str, root_size: int) -> str:
    """The id of the state before the first step: that of the base, unless its root is enlarged."""
    if not root_size:
        return base_id
    return hashlib.sha256(f"{base_id}\nroot_size {root_size}".encode()).hexdigest()


def chained_id(before: str, step_actions: tuple[Action, ...]) -> str:
    """The id of a step after the step with the id `before`."""
    text = json.dumps([actions.to_json(a) for a in step_actions], sort_keys=True)
    return hashlib.sha256(f"{before}\n{text}".encode()).hexdigest()


def to_json(plan: Plan) -> dict[str, Any]:
    """The content of a plan file."""
    return {
        "format": FORMAT,
        "base": plan.base,
        "base_id": plan.base_id,
        **({"root_size": plan.root_size} if plan.root_size else {}),
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
    """Read the content of a plan file. Raises BadInput: unknown format, or ids do not match the actions."""
    if data.get("format") != FORMAT:
        raise BadInput(
            f"The plan has format {data.get('format')!r}; this version supports format {FORMAT} only.",
            "Create it again with bake-image --dry-run --json.",
        )
    steps = tuple(_step(entry) for entry in data["steps"])
    root_size = int(data.get("root_size", 0))
    before = start_id(data["base_id"], root_size)
    for step in steps:
        if chained_id(before, step.actions) != step.id:
            raise BadInput(
                f"The plan was changed by hand: the id of {step.title!r} does not match its actions."
            )
        before = step.id
    return Plan(data["base"], data["base_id"], data["kind"], steps, root_size)


def _step(entry: dict[str, Any]) -> PlannedStep:
    step_actions = tuple(actions.from_json(action) for action in entry["actions"])
    return PlannedStep(entry["role"], entry["title"], step_actions, entry["id"])
