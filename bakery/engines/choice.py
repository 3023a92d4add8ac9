"""Choose an engine: `auto` prefers chroot, which is many times faster, and falls back to packer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from bakery.engines.chroot import engine as chroot
from bakery.engines.packer import program as packer_program
from bakery.runtime import host_paths, privileges
from provisioner.errors import MissingHere
from provisioner.process import run

Engine = Literal["chroot", "packer"]
Option = Literal["auto", "chroot", "packer"]
ENGINES: tuple[Option, ...] = get_args(Option)
# Its machine would have to remove what it runs on; and where the disk can be mounted, chroot is usable.
_NO_CONTAINERS = "it does not make container images, which are written from a mounted disk."


@dataclass(frozen=True)
class Obstacles:
    """Why each engine cannot run on this machine, as a sentence; "" if it can."""

    chroot: str
    packer: str


def choose(wanted: str, found: Obstacles) -> tuple[Engine, str]:
    """The engine to use, and the reason as a sentence ("" if `wanted` names the engine).

    Raises MissingHere: the requested engine, or every engine, has an obstacle.
    """
    if wanted == "chroot" or (wanted == "auto" and not found.chroot):
        if found.chroot:
            raise MissingHere(f"The engine chroot is not usable: {found.chroot}", "Try --engine packer.")
        return "chroot", "" if wanted == "chroot" else "Using engine chroot (no virtual machine needed)."
    if found.packer and wanted == "packer":
        hint = "Use --engine chroot, as root." if found.packer == _NO_CONTAINERS else ""
        raise MissingHere(f"The engine packer is not usable: {found.packer}", hint)
    if found.packer:
        install = "" if found.packer == _NO_CONTAINERS else ", or install packer"
        raise MissingHere(
            f"No engine is usable. chroot: {found.chroot} packer: {found.packer}",
            f"Run the command as root (a container: with --privileged){install}.",
        )
    return (
        "packer",
        "" if wanted == "packer" else f"Using engine packer, because chroot is not usable: {found.chroot}",
    )


def obstacles(wanted: str, *, boots: bool = True) -> Obstacles:
    """The obstacles of the engines that `wanted` allows; packer is checked only if it may be used.

    Without `boots` the image is a container.
    """
    chroot = _chroot_obstacle()
    return Obstacles(chroot, packer_obstacle(boots=boots) if chroot or wanted == "packer" else "")


def _chroot_obstacle() -> str:
    return privileges.mount_obstacle() or _missing(chroot.TOOLS) or privileges.sandbox_obstacle()


def packer_obstacle(*, boots: bool = True) -> str:
    """Why packer cannot be used on this machine, as a sentence; "" if it can."""
    if not boots:
        return _NO_CONTAINERS
    try:
        packer_program.find()
    except MissingHere as error:
        return str(error)
    return _missing(packer_program.TOOLS)


def _missing(tools: tuple[str, ...]) -> str:
    try:
        run.require(*host_paths.programs(tools))
    except MissingHere as error:
        return str(error)
    return ""
