"""Privileges of this process."""

from __future__ import annotations

import os
import shutil

from provisioner.errors import MissingHere


def require_root() -> None:
    """Raise MissingHere unless this process runs as root."""
    if os.geteuid() == 0:
        return
    raise MissingHere(
        "Baking, verifying and comparing images mount disks and create namespaces, which requires root.",
        ("Run the same command with sudo" if shutil.which("sudo") else "Run the same command as root")
        + "; gen-userdata, bake-image --list-bases, --dry-run and --explain do not require root.",
    )
