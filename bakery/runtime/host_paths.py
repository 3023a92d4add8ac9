"""Where distributions install the programs and files of a build host, for those that differ.

Sources: the file lists of Debian's ovmf and grub-common, of Fedora's and Enterprise Linux's edk2-ovmf,
qemu-kvm-core and grub2-tools. docs/how-to/build-hosts.md says which of them our tests have run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/")

# Names on PATH or absolute paths, the preferred first; a program that is not here has one name everywhere.
PROGRAMS = {
    "qemu-system-x86_64": ("qemu-system-x86_64", "/usr/libexec/qemu-kvm"),  # Enterprise Linux: not on PATH
    "grub-mkimage": ("grub-mkimage", "grub2-mkimage"),  # Enterprise Linux and Fedora: grub2-*
}


@dataclass(frozen=True)
class Firmware:
    """EFI firmware for QEMU: the code, mapped read-only, and the template of its variables."""

    code: Path
    variables: Path


# Directories and suffixes: OVMF_CODE<suffix>.fd and OVMF_VARS<suffix>.fd, without Secure Boot.
_OVMF = (
    ("usr/share/OVMF", "_4M"),  # Debian 12 and later, Ubuntu 22.04 and later
    ("usr/share/edk2/ovmf", ""),  # Enterprise Linux, Fedora
    ("usr/share/OVMF", ""),  # older releases of Debian and Ubuntu
)


def program(name: str, root: Path = _ROOT) -> str:
    """Return how to call a program here: its name on PATH or its path; `name` itself if there is none."""
    return next((found for found in PROGRAMS.get(name, ()) if _is_program(found, root)), name)


def programs(names: Iterable[str]) -> tuple[str, ...]:
    """Return how to call these programs here, for `provisioner.process.run.require`."""
    return tuple(map(program, names))


def qemu() -> str:
    """Return how to call QEMU for x86_64 here."""
    return program("qemu-system-x86_64")


def firmware(root: Path = _ROOT) -> Firmware | None:
    """Return the EFI firmware for virtual machines; None if no package has installed one."""
    for folder, suffix in _OVMF:
        found = Firmware(root / folder / f"OVMF_CODE{suffix}.fd", root / folder / f"OVMF_VARS{suffix}.fd")
        if found.code.exists() and found.variables.exists():
            return found
    return None


def _is_program(name: str, root: Path) -> bool:
    if not name.startswith("/"):
        return shutil.which(name) is not None
    return os.access(root / name.lstrip("/"), os.X_OK)
