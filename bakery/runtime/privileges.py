"""Privileges of this process: what root may do is restricted in containers."""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

from provisioner.errors import BakeryError, Interrupted, MissingHere
from provisioner.process import run

_STATUS = Path("/proc/self/status")
_LOOP = Path("/dev/loop-control")
_SYS_ADMIN = 21  # linux/capability.h
_WHAT = "Baking, verifying and comparing images"
_PRIVILEGED = "Start the container with --privileged; without it, only the engine packer is usable"
_UNPRIVILEGED = "gen-userdata, bake-image --list-bases, --dry-run and --explain do not require root."


def require_root() -> None:
    """Raise MissingHere unless this process can mount disks and create namespaces."""
    problem = mount_obstacle()
    if not problem:
        return
    if os.geteuid() != 0:
        user = "with sudo" if shutil.which("sudo") else "as root"
        raise MissingHere(
            f"{_WHAT} mount disks and create namespaces, which requires root.",
            f"Run the same command {user}; {_UNPRIVILEGED}",
        )
    raise MissingHere(
        f"{_WHAT} mount disks and create namespaces: {problem}",
        f"{_PRIVILEGED}, without verification: --engine packer --verify none.",
    )


def mount_obstacle(status: Path = _STATUS, loop_control: Path = _LOOP) -> str:
    """Return why this process cannot mount a disk, as a sentence; "" if nothing is known against it.

    In a container, user id 0 does not suffice: Docker and Podman drop CAP_SYS_ADMIN and hide loop devices
    unless they are given --privileged.
    """
    if os.geteuid() != 0:
        return "mounting a disk requires root."
    if not _has_sys_admin(status.read_text()):
        return "root has no CAP_SYS_ADMIN here, as in a container without --privileged."
    try:
        os.close(os.open(loop_control, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        why = f"({error.strerror}), as in a container without --privileged."
        return f"{loop_control} cannot be opened {why}"
    return ""


@cache
def sandbox_obstacle() -> str:
    """Return why no sandbox can be created here, as a sentence; "" if one was created."""
    try:
        run.call(run.sandbox_argv(["true"]), seconds=30)
    except Interrupted:
        raise
    except BakeryError as error:
        last = str(error).rstrip().splitlines()[-1]
        return f"this system refuses new namespaces ({last})."
    return ""


def _has_sys_admin(status: str) -> bool:
    """Read the effective capabilities of proc_pid_status(5)."""
    masks = [line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")]
    return bool(masks) and bool(int(masks[0], 16) >> _SYS_ADMIN & 1)
