"""The files of udocker, as this installation has them: PyPI's, of the version that pyproject.toml pins.

So they are fetched, and checked, as every other package that worker-bakery needs, and no bake fetches them.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from provisioner.errors import MissingHere
from provisioner.roles.udocker import HOME
from provisioner.steps import File

NAME = "udocker"


def files() -> tuple[File, ...]:
    """Raises MissingHere where udocker is not installed."""
    try:
        installed = importlib.metadata.files(NAME) or []
    except importlib.metadata.PackageNotFoundError:
        raise MissingHere("This installation has no udocker.", "Install worker-bakery anew.") from None
    kept = sorted(path for path in installed if path.parts[0] == NAME and path.suffix == ".py")
    licence = [path for path in installed if path.name == "LICENSE"]
    return tuple(
        File(f"{HOME}/{_name(path)}", Path(path.locate()).read_bytes()) for path in [*kept, *licence]
    )


def _name(path: importlib.metadata.PackagePath) -> str:
    return path.name if path.name == "LICENSE" else str(path)
