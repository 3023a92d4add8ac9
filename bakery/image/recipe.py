"""What a worker image is made of: a base and a kind give roles, roles give steps, steps give the plan."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

from bakery import __version__
from bakery.image import repositories
from bakery.image.bases import Base
from bakery.image.repositories import Replaced
from bakery.runtime import data
from provisioner import did_you_mean
from provisioner.errors import BadInput
from provisioner.packages.repositories import Repository
from provisioner.plan import STAMP, Plan, PlannedStep, chained_id
from provisioner.roles import NO_CVMFS, Context, CvmfsClient, Family, Pelican
from provisioner.roles.apptainer import apptainer
from provisioner.roles.base import base as base_role
from provisioner.roles.condor import condor
from provisioner.roles.container import container
from provisioner.roles.cvmfs import cvmfs
from provisioner.roles.nvidia import nvidia
from provisioner.roles.seal import seal
from provisioner.roles.udocker import udocker as udocker_role
from provisioner.roles.workers.osg import osg_worker
from provisioner.roles.workers.ospool import ospool
from provisioner.roles.workers.prominence import prominence_worker
from provisioner.steps import File, Service, Step, lower

# Where worker_runtime/configuration/instance.py reads it.
IMAGE = "/usr/lib/worker-bakery/image.json"

Role = Callable[[Context], tuple[Step, ...]]

# Files of worker/ for what only a machine has: systemd and cloud-init.
_FOR_SYSTEMD = ("/usr/lib/systemd/", "/usr/lib/tmpfiles.d/", "/etc/cloud/")

# In the order of their application; what changes most often comes late, the seal last.
_BEFORE: tuple[tuple[str, Role], ...] = (("base", base_role), ("condor", condor))
_AFTER: tuple[tuple[str, Role], ...] = (("seal", seal),)
ROLES: dict[str, tuple[tuple[str, Role], ...]] = {
    "osg": (*_BEFORE, ("osg_worker", osg_worker), *_AFTER),
    "prominence": (*_BEFORE, ("prominence_worker", prominence_worker), *_AFTER),
}
# What an image may have besides, in this order, after condor.
OPTIONAL: dict[str, Role] = {
    "nvidia": nvidia,
    "apptainer": apptainer,
    "cvmfs": cvmfs,
    "udocker": udocker_role,
    "ospool": ospool,
}


def plan(
    base: Base,
    kind: str,
    worker: Path = data.WORKER,
    optional: Collection[str] = (),
    client: CvmfsClient = NO_CVMFS,
    replaced: Replaced = repositories.NOTHING,
    *,
    boots: bool = True,
    pelican: Pelican | None = None,
) -> Plan:
    """`boots`: of a machine; else of a container, which has no service manager. Raises BadInput."""
    unknown = sorted(set(optional) - set(OPTIONAL))
    if unknown:
        hint = did_you_mean.hint(unknown, OPTIONAL, "See bake-image --list-roles.")
        raise BadInput(f"No optional role is called {', '.join(unknown)}.", hint)
    if not boots and "cvmfs" in optional:
        raise BadInput("A container cannot mount CVMFS.", "Bind-mount the host's: -v /cvmfs:/cvmfs:shared.")
    if kind != "osg" and "ospool" in optional:
        raise BadInput("The role ospool is for workers of the kind osg.", "Leave --with ospool out.")
    files = tuple(file for file in worker_files(worker, kind) if boots or not _is_for_systemd(file))
    found = repositories.of_base(base.family, base.release, replaced)
    chosen = set(optional) | (containers_have(base.family) if not boots else frozenset())
    if "ospool" in chosen:
        chosen |= ospool_has(base.family, found, boots=boots)
    program = _udocker_files() if "udocker" in chosen else ()
    own = tuple(files_below(worker / "ospool")) if "ospool" in chosen else ()
    context = Context(base.family, files, client, found, program, own, pelican, boots)
    steps: list[PlannedStep] = []
    before = base.id
    for role, make in roles(kind, chosen, boots=boots):
        without_systemd = any(step.role == "container" for step in steps)
        for title, actions in lower(_possible(make(context), without_systemd)):
            before = chained_id(before, actions)
            steps.append(PlannedStep(role, title, actions, before))
    return stamped(Plan(base.name, base.id, kind, tuple(steps)), base)


def containers_have(family: Family) -> frozenset[str]:
    """Where nobody may mount or has root, udocker is the only one that runs.

    Of EL it is not known which repository has its engine, proot: there --with udocker has to ask for it.
    """
    return frozenset({"udocker"}) if family in ("debian", "ubuntu") else frozenset()


def ospool_has(family: Family, known: Collection[Repository], *, boots: bool) -> frozenset[str]:
    """What ospool brings by itself: apptainer and CVMFS, where the plan's own repositories have them.

    EPEL has apptainer, and every EL has EPEL; elsewhere --with and --apt-source have to ask for it.
    """
    apptainer = {"apptainer"} if family.startswith("el") else set()
    client = {"cvmfs"} if boots and any(one.role == "cvmfs" for one in known) else set()
    return frozenset(apptainer | client)


def lacking(optional: Collection[str], plan: Plan) -> list[str]:
    """What a worker of the OSPool should have, and this one will not."""
    there = {step.role for step in plan.steps}
    needed = ("apptainer",) if "container" in there else ("apptainer", "cvmfs")
    return [role for role in needed if role not in there] if "ospool" in optional else []


def _udocker_files() -> tuple[File, ...]:
    from bakery.image import udocker

    return udocker.files()


def _possible(steps: tuple[Step, ...], without_systemd: bool) -> tuple[Step, ...]:
    """A container has no units; its entry point starts what runs there."""
    return tuple(step for step in steps if not (without_systemd and isinstance(step, Service)))


def _is_for_systemd(file: File) -> bool:
    return file.path.startswith(_FOR_SYSTEMD)


def roles(kind: str, optional: Collection[str], *, boots: bool = True) -> Iterator[tuple[str, Role]]:
    """All roles of an image, in their order."""
    for name, make in ROLES[kind]:
        yield name, make
        if name == "condor":
            yield from ((name, make) for name, make in OPTIONAL.items() if name in optional)
            if not boots:
                yield "container", container


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
        yield from files_below(root)


def files_below(root: Path) -> Iterator[File]:
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            mode = 0o755 if os.access(path, os.X_OK) else 0o644
            yield File(f"/{path.relative_to(root)}", path.read_bytes(), mode)
