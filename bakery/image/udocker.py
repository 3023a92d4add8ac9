"""The files of udocker from this Python installation, in the version that pyproject.toml pins.

The installer of worker-bakery downloads and verifies them; a bake does not.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from provisioner.errors import MissingHere
from provisioner.roles.udocker import HOME
from provisioner.steps import File

NAME = "udocker"


def files() -> tuple[File, ...]:
    """Return the files for the image. Raises MissingHere when udocker is not installed."""
    try:
        installed = importlib.metadata.files(NAME) or []
    except importlib.metadata.PackageNotFoundError:
        raise MissingHere("udocker is not installed.", "Reinstall worker-bakery.") from None
    modules = sorted(path for path in installed if path.parts[0] == NAME and path.suffix == ".py")
    licence = [path for path in installed if path.name == "LICENSE"]
    return tuple(
        File(f"{HOME}/{_name(path)}", Path(path.locate()).read_bytes()) for path in [*modules, *licence]
    )


def _name(path: importlib.metadata.PackagePath) -> str:
    return path.name if path.name == "LICENSE" else str(path)
