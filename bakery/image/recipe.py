"""What a worker image consists of: base and kind determine the roles, roles the steps, steps the plan."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from bakery import __version__
from bakery.image import repositories
from bakery.image.bases import Base
from bakery.image.repositories import Replaced
from bakery.runtime import data
from provisioner import did_you_mean
from provisioner.actions import Action, Put
from provisioner.errors import BadInput
from provisioner.packages.repositories import Repository
from provisioner.plan import STAMP, Plan, PlannedStep, chained_id, start_id
from provisioner.roles import NO_CVMFS, Context, CvmfsClient, Family, Pelican, identity
from provisioner.roles import locked as lock_role
from provisioner.roles.apptainer import apptainer
from provisioner.roles.base import base as base_role
from provisioner.roles.condor import condor
from provisioner.roles.container import container
from provisioner.roles.customization import NO_CUSTOMIZATION, Customization
from provisioner.roles.cvmfs import cvmfs
from provisioner.roles.identity import Identity
from provisioner.roles.locked import Locked
from provisioner.roles.nvidia import nvidia
from provisioner.roles.seal import seal
from provisioner.roles.site import checks as site_checks
from provisioner.roles.site import site, site_base
from provisioner.roles.udocker import udocker as udocker_role
from provisioner.roles.workers.osg import osg_worker
from provisioner.roles.workers.ospool import ospool
from provisioner.roles.workers.prominence import prominence_worker
from provisioner.steps import File, Service, Step, lower

# worker_runtime/configuration/instance.py reads it there.
IMAGE = "/usr/lib/worker-bakery/image.json"
# The time of the Debian archive from which the packages of the image are, if --snapshot gave one.
SNAPSHOT = "/usr/lib/worker-bakery/snapshot"

Role = Callable[[Context], tuple[Step, ...]]

# Files of worker/ for systemd and cloud-init, which containers do not have.
_FOR_SYSTEMD = ("/usr/lib/systemd/", "/usr/lib/tmpfiles.d/", "/etc/cloud/")

# In the order of their application: roles that change often come late, the seal last.
# Those of the site have no steps without a customization.
_BEFORE: tuple[tuple[str, Role], ...] = (("base", base_role), ("site_base", site_base), ("condor", condor))
_AFTER: tuple[tuple[str, Role], ...] = (("site", site), ("seal", seal))
ROLES: dict[str, tuple[tuple[str, Role], ...]] = {
    "osg": (*_BEFORE, ("osg_worker", osg_worker), *_AFTER),
    "prominence": (*_BEFORE, ("prominence_worker", prominence_worker), *_AFTER),
}
# Optional roles, applied after condor in this order.
OPTIONAL: dict[str, Role] = {
    "nvidia": nvidia,
    "apptainer": apptainer,
    "cvmfs": cvmfs,
    "udocker": udocker_role,
    "ospool": ospool,
}


def _refuse_impossible(kind: str, optional: Collection[str], boots: bool) -> None:
    """Raise BadInput for optional roles that are unknown, or that this kind of image cannot have."""
    unknown = sorted(set(optional) - set(OPTIONAL))
    if unknown:
        hint = did_you_mean.hint(unknown, OPTIONAL, "See bake-image --list-roles.")
        raise BadInput(f"There is no optional role {', '.join(unknown)}.", hint)
    if not boots and "cvmfs" in optional:
        raise BadInput(
            "A container cannot mount CVMFS.", "Bind-mount /cvmfs of the host: -v /cvmfs:/cvmfs:shared."
        )
    if kind != "osg" and "ospool" in optional:
        raise BadInput("The role ospool requires a worker of the kind osg.", "Remove --with ospool.")


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
    customization: Customization = NO_CUSTOMIZATION,
    locked: Locked | None = None,
    snapshot: str = "",
) -> Plan:
    """Return the plan of an image. Without `boots` it is for a container, without service manager.

    Raises BadInput.
    """
    _refuse_impossible(kind, optional, boots)
    files = tuple(file for file in worker_files(worker, kind) if boots or not _is_for_systemd(file))
    found = repositories.of_base(base.family, base.release, replaced)
    selected = set(optional) | (default_container_roles(base.family) if not boots else frozenset())
    if "ospool" in selected:
        selected |= default_ospool_roles(base.family, found, boots=boots)
    program = _udocker_files() if "udocker" in selected else ()
    own = tuple(files_below(worker / "ospool")) if "ospool" in selected else ()
    context = Context(base.family, files, client, found, program, own, pelican, boots, customization)
    if customization != NO_CUSTOMIZATION:
        from bakery.image import customization_checks

        customization_checks.check(customization, base, kind, found)
        site_checks.check(context)
    lowered = _lowered(context, roles(kind, selected, boots=boots), locked, snapshot)
    steps = _chained(start_id(base.id, customization.root_size), lowered)
    planned = Plan(base.name, base.id, kind, tuple(steps), customization.root_size)
    if customization.files:
        site_checks.refuse_written_twice(customization.files, _written(planned))
    return with_stamp(planned, base, customization)


def _lowered(
    context: Context, made_by: Iterable[tuple[str, Role]], locked: Locked | None, snapshot: str
) -> Iterator[tuple[str, str, tuple[Action, ...]]]:
    """Yield role, title and actions of each step."""
    without_systemd, is_first = False, True
    for role, make in made_by:
        made = _without_units(make(context), without_systemd)
        if locked:
            made = tuple(lock_role.steps(role, made, context.manager, locked))
        if snapshot and is_first:
            made = (File(SNAPSHOT, f"{snapshot}\n".encode()), *made)
        for title, actions in lower(made):
            yield role, title, actions
            is_first = False
            without_systemd = without_systemd or role == "container"


def _chained(before: str, lowered: Iterable[tuple[str, str, tuple[Action, ...]]]) -> Iterator[PlannedStep]:
    """Yield the steps with their ids; `before` is the id of what the first one is applied to."""
    for role, title, actions in lowered:
        before = chained_id(before, actions)
        yield PlannedStep(role, title, actions, before)


def _written(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield role and path of each file that a step writes."""
    for step in plan.steps:
        yield from ((step.role, action.path) for action in step.actions if isinstance(action, Put))


def default_container_roles(family: Family) -> frozenset[str]:
    """Return the roles that containers get by default: udocker, which needs neither mounts nor root.

    For EL no repository with its engine proot is known; there udocker requires --with udocker.
    """
    return frozenset({"udocker"}) if family in ("debian", "ubuntu") else frozenset()


def default_ospool_roles(family: Family, known: Collection[Repository], *, boots: bool) -> frozenset[str]:
    """Return the roles that ospool adds: apptainer and CVMFS, if the plan's repositories have them.

    EPEL has apptainer for every EL; other bases require --with and --apt-source.
    """
    apptainer = {"apptainer"} if family.startswith("el") else set()
    client = {"cvmfs"} if boots and any(one.role == "cvmfs" for one in known) else set()
    return frozenset(apptainer | client)


def missing_ospool_roles(optional: Collection[str], plan: Plan) -> list[str]:
    """Return the roles that a worker of the OSPool should have and this plan does not."""
    there = {step.role for step in plan.steps}
    needed = ("apptainer",) if "container" in there else ("apptainer", "cvmfs")
    return [role for role in needed if role not in there] if "ospool" in optional else []


def _udocker_files() -> tuple[File, ...]:
    from bakery.image import udocker

    return udocker.files()


def _without_units(steps: tuple[Step, ...], without_systemd: bool) -> tuple[Step, ...]:
    """Remove units for a container, whose entry point starts the services."""
    return tuple(step for step in steps if not (without_systemd and isinstance(step, Service)))


def _is_for_systemd(file: File) -> bool:
    return file.path.startswith(_FOR_SYSTEMD)


def roles(kind: str, optional: Collection[str], *, boots: bool = True) -> Iterator[tuple[str, Role]]:
    """Yield all roles of an image in their order."""
    for name, make in ROLES[kind]:
        yield name, make
        if name == "condor":
            yield from ((name, make) for name, make in OPTIONAL.items() if name in optional)
            if not boots:
                yield "container", container


def with_stamp(plan: Plan, base: Base, own: Customization = NO_CUSTOMIZATION) -> Plan:
    """Return the plan with a last step that writes the image's names into it; workers advertise them."""
    named = identity_of(plan, own)
    about = {
        "image": plan.image,
        "image_id": named.id,
        "image_version": named.version,
        "base": f"{base.name} {base.id[:12]}",
        "version": __version__,
    }
    content = (json.dumps(about, indent=1) + "\n").encode()
    steps = lower((identity.stamp(named), File(IMAGE, content, 0o644)))
    actions = tuple(action for _, some in steps for action in some)
    last = PlannedStep("seal", STAMP, actions, chained_id(plan.id, actions))
    return replace(plan, steps=(*plan.steps, last))


def identity_of(plan: Plan, own: Customization = NO_CUSTOMIZATION) -> Identity:
    """Return what the image of a plan is called: by its definition, if it has one.

    Without a definition, both values joined by a dash are the name of the image in the cache.
    """
    name = own.name or re.sub(r"[^a-z0-9._-]+", "-", f"{plan.kind}-{plan.base}".lower())
    return Identity(name, own.version or plan.id[:12])


def worker_files(worker: Path, kind: str) -> Iterator[File]:
    """Yield the files of worker/common and worker/<kind> with their paths in the image."""
    for root in (worker / "common", worker / kind):
        yield from files_below(root)


def files_below(root: Path) -> Iterator[File]:
    """Yield all files below a folder, with their paths relative to it as absolute paths."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            mode = 0o755 if os.access(path, os.X_OK) else 0o644
            yield File(f"/{path.relative_to(root)}", path.read_bytes(), mode)
