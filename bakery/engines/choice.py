"""Which engine bakes: `auto` takes chroot where it can, as it is many times quicker, else packer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, get_args

from bakery.engines.chroot import engine as chroot
from bakery.engines.packer import program as packer_program
from provisioner.errors import MissingHere
from provisioner.process import run

Engine = Literal["chroot", "packer"]
Option = Literal["auto", "chroot", "packer"]
ENGINES: tuple[Option, ...] = get_args(Option)


@dataclass(frozen=True)
class Obstacles:
    """Why an engine cannot work here, in words; "" if it can."""

    chroot: str
    packer: str


def choose(wanted: str, found: Obstacles) -> tuple[Engine, str]:
    """The engine, and a sentence that says why if it was not asked for by name. Raises MissingHere."""
    if wanted == "chroot" or (wanted == "auto" and not found.chroot):
        if found.chroot:
            raise MissingHere(f"The engine chroot cannot work here: {found.chroot}", "Try --engine packer.")
        return "chroot", "" if wanted == "chroot" else "Engine chroot: it boots nothing."
    if found.packer and wanted == "packer":
        raise MissingHere(f"The engine packer cannot work here: {found.packer}")
    if found.packer:
        raise MissingHere(
            f"No engine can work here. chroot: {found.chroot} packer: {found.packer}",
            "Run the same command as root, or install packer.",
        )
    return "packer", "" if wanted == "packer" else f"Engine packer, as chroot cannot work: {found.chroot}"


def obstacles(wanted: str) -> Obstacles:
    """What is missing on this machine of the engines that may have to bake; of packer only then."""
    chroot = _chroot_obstacle()
    return Obstacles(chroot, packer_obstacle() if chroot or wanted == "packer" else "")


def _chroot_obstacle() -> str:
    if os.geteuid() != 0:
        return "only root can mount disks."
    return _missing(chroot.TOOLS)


def packer_obstacle() -> str:
    try:
        packer_program.find()
    except MissingHere as error:
        return str(error)
    return _missing(packer_program.TOOLS)


def _missing(tools: tuple[str, ...]) -> str:
    try:
        run.require(*tools)
    except MissingHere as error:
        return str(error)
    return ""
