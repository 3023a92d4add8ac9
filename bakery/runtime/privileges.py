"""What this process may do here."""

from __future__ import annotations

import os
import shutil

from provisioner.errors import MissingHere


def require_root() -> None:
    """Raises MissingHere with the way out."""
    if os.geteuid() == 0:
        return
    raise MissingHere(
        "Baking, verifying and comparing images mount disks and make namespaces, which only root may do.",
        ("Run the same command with sudo" if shutil.which("sudo") else "Run the same command as root")
        + "; gen-userdata, bake-image --list-bases, --dry-run and --explain need no root.",
    )
