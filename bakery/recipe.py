"""What a worker image is made of: a base and a kind give roles, roles give steps, steps give the plan."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from bakery import __version__, data, repositories
from bakery.bases import Base
from bakery.mkosi import Build
from bakery.repositories import Replaced
from provisioner.errors import BadInput
from provisioner.plan import STAMP, Plan, PlannedStep, chained_id
from provisioner.roles import NO_CVMFS, Context, CvmfsClient
from provisioner.roles.apptainer import apptainer
from provisioner.roles.base import base as base_role
from provisioner.roles.condor import condor
from provisioner.roles.cvmfs import cvmfs
from provisioner.roles.nvidia import nvidia
from provisioner.roles.osg_worker import osg_worker
from provisioner.roles.seal import seal
from provisioner.steps import File, Step, lower

# Where worker_runtime/machine.py reads it.
IMAGE = "/usr/lib/worker-bakery/image.json"

Role = Callable[[Context], tuple[Step, ...]]

# In the order of their application; what changes most often comes late, the seal last.
ROLES: dict[str, tuple[tuple[str, Role], ...]] = {
    "osg": (("base", base_role), ("condor", condor), ("osg_worker", osg_worker), ("seal", seal)),
}
# What an image may have besides, in this order, after condor.
OPTIONAL: dict[str, Role] = {"nvidia": nvidia, "apptainer": apptainer, "cvmfs": cvmfs}


def plan(
    base: Base,
    kind: str,
    worker: Path = data.WORKER,
    optional: Collection[str] = (),
    client: CvmfsClient = NO_CVMFS,
    replaced: Replaced = repositories.NOTHING,
) -> Plan:
    unknown = sorted(set(optional) - set(OPTIONAL))
    if unknown:
        raise BadInput(f"No optional role is called {', '.join(unknown)}.", "See bake-image --list-roles.")
    found = repositories.of_base(base.family, release(base), replaced)
    context = Context(base.family, tuple(worker_files(worker, kind)), client, repositories=found)
    steps: list[PlannedStep] = []
    before = base.id
    for role, make in roles(kind, optional):
        for title, actions in lower(make(context)):
            before = chained_id(before, actions)
            steps.append(PlannedStep(role, title, actions, before))
    return stamped(Plan(base.name, base.id, kind, tuple(steps)), base)


def release(base: Base) -> str:
    """The code name of the base's release; of an EL, the base's own name."""
    return base.source.release if isinstance(base.source, Build) else repositories.codename(base.name)


def roles(kind: str, optional: Collection[str]) -> Iterator[tuple[str, Role]]:
    """All roles of an image, in their order."""
    for name, make in ROLES[kind]:
        yield name, make
        if name == "condor":
            yield from ((name, make) for name, make in OPTIONAL.items() if name in optional)


def stamped(plan: Plan, base: Base) -> Plan:
    """With a last step that writes into the image which one it is; workers advertise that."""
    name = {"image": plan.image, "base": f"{base.name} {base.id[:12]}", "version": __version__}
    content = (json.dumps(name, indent=1) + "\n").encode()
    [(_, actions)] = lower((File(IMAGE, content, 0o644),))
    last = PlannedStep("seal", STAMP, actions, chained_id(plan.id, actions))
    return replace(plan, steps=(*plan.steps, last))


def worker_files(worker: Path, kind: str) -> Iterator[File]:
    """The files of worker/common and worker/<kind>, as they will lie in the image."""
    for root in (worker / "common", worker / kind):
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                mode = 0o755 if os.access(path, os.X_OK) else 0o644
                yield File(f"/{path.relative_to(root)}", path.read_bytes(), mode)
