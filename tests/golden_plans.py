"""Plans as text that people can read, kept in tests/golden/plans: one for each base that there is,
what is different in that of a container (NAME.oci.txt), and of some the steps of a site (NAME.site.txt).

    python -m tests.golden_plans        writes them anew

Of what lies in worker/ a plan names nothing here: it changes often, and not by the base.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bakery.image import bases, recipe
from bakery.image.bases import Base
from bakery.runtime import data
from provisioner.actions import Action, Put, Run
from provisioner.plan import STAMP, Plan
from provisioner.roles import CvmfsClient, Family
from provisioner.roles.udocker import HOME as UDOCKER
from tests import site

FOLDER = Path(__file__).parent / "golden" / "plans"
ARCHITECTURE = "x86_64"
SYSTEMS = tuple(base.name for base in bases.known())
WITH_NVIDIA: tuple[Family, ...] = ("el8", "el9", "debian")
CONTAINERS = ("centos7", "almalinux8", "almalinux9", "almalinux10")
# Of these with a customization: for machines, and for a container.
SITES = ("debian13", "ubuntu24.04", "almalinux9", "centos7")
SITE_CONTAINERS = ("debian13", "almalinux9")
KEY = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"
AUTHORITY = b"-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n"
CLIENT = CvmfsClient(("cms.example.org",), "http://squid.example.org:3128")


def base(name: str) -> Base:
    return bases.find(name, ARCHITECTURE)


def text(name: str) -> str:
    """The plan of this base with all optional roles that there are."""
    found = base(name)
    roles = [role for role in recipe.OPTIONAL if role != "nvidia" or found.family in WITH_NVIDIA]
    return "".join(_rows(recipe.plan(found, "osg", optional=roles, client=CLIENT)))


def container_text(name: str) -> str:
    """What a container's plan has instead of a machine's, from the role on that makes it one."""
    plan = recipe.plan(base(name), "osg", boots=False)
    first = next(number for number, step in enumerate(plan.steps) if step.role == "container")
    return "".join(_rows(replace(plan, steps=plan.steps[first:])))


def site_text(name: str, *, boots: bool = True) -> str:
    """The steps that a customization adds."""
    added = site.full((site.repository(KEY),), AUTHORITY, boots=boots, size=16 << 30)
    plan = recipe.plan(base(name), "osg", boots=boots, customization=added)
    steps = tuple(step for step in plan.steps if step.role in ("site_base", "site"))
    return "".join(_rows(replace(plan, steps=steps)))


def golden(name: str) -> dict[str, str]:
    """The files of this base, and what is to be in them."""
    found = {f"{name}.txt": text(name)}
    if name in CONTAINERS:
        found[f"{name}.oci.txt"] = container_text(name)
    if name in SITES:
        found[f"{name}.site.txt"] = site_text(name)
    if name in SITE_CONTAINERS:
        found[f"{name}.site.oci.txt"] = site_text(name, boots=False)
    return found


def _rows(plan: Plan) -> Iterator[str]:
    ours = {str(path.relative_to(top)) for top in _worker() for path in top.rglob("*") if path.is_file()}
    for step in plan.steps:
        yield f"{step.role}: {step.title}\n"
        for action in step.actions:
            if step.title == STAMP or (isinstance(action, Put) and action.path[1:] in ours):
                continue
            yield from (f"    {row}\n" for row in _shown(action))


def _worker() -> tuple[Path, ...]:
    return data.WORKER / "common", data.WORKER / "osg", data.WORKER / "ospool"


def _shown(action: Action) -> Iterator[str]:
    match action:
        case Run(("sh", flags, script, *words)):
            yield " ".join(["sh", flags, *words])
            yield from (f"| {row}" for row in script.splitlines())
        case Run(argv):
            yield " ".join(argv)
        case Put(path, content, mode):
            yield f"put {path} {mode:04o}"
            if path.startswith(f"{UDOCKER}/"):
                return  # PyPI's, not ours
            said = content.decode("utf-8", "backslashreplace")
            key = "-----BEGIN PGP" in said
            yield from (f"| {row}" for row in (["an armored key"] if key else said.splitlines()))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for system in SYSTEMS:
        for file, content in golden(system).items():
            (FOLDER / file).write_text(content)
