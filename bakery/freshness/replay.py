"""`--lock FILE`: read the versions to replay, or write those of a bake."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bakery.freshness import lock
from bakery.freshness.lock import System
from provisioner import named_file
from provisioner.errors import BadInput
from provisioner.roles.locked import Locked

# Names and versions become lines of files and arguments of programs.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9_-]*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~^:_-]*")
_FORMS = (_NAME, _ARCHITECTURE, _VERSION)
_HINT = "Remove the file to record a new lock."


def read(path: Path, system: System) -> Locked:
    """The packages of a lock file. Raises BadInput: not a lock, or one for another package system."""
    try:
        found = lock.from_json({"keys": {}, **json.loads(named_file.text(path))})
    except OSError as error:
        raise BadInput(f"Cannot read the lock {path}: {error.strerror}.") from None
    except BadInput as error:  # of another format
        raise BadInput(f"{path}: {error.message}", _HINT) from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise BadInput(f"{path} is not a lock, or it is damaged.", _HINT) from None
    if found.system != system:
        raise BadInput(f"{path} is a lock of {found.system} packages, but the base has {system}.", _HINT)
    for package in found.packages:
        for value, form in zip((package.name, package.architecture, package.version), _FORMS, strict=True):
            if not isinstance(value, str) or not form.fullmatch(value):
                message = f"{path}: {value!r} is not the name, architecture or version of a package."
                raise BadInput(message, _HINT)
    if not found.packages:
        raise BadInput(f"{path} has no packages.", _HINT)
    return Locked(tuple((one.name, one.architecture, one.version) for one in found.packages))


def check_writable(path: Path) -> None:
    """Raises BadInput: the lock cannot be written to this path, which is told before the bake."""
    if not path.parent.is_dir():
        raise BadInput(f"Cannot write the lock {path}: there is no folder {path.parent}.")
    if not os.access(path.parent, os.W_OK):
        raise BadInput(f"Cannot write the lock {path}: no permission to write to {path.parent}.")


def write(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write the lock of an image to a new file. Raises BadInput: the image has none, or no permission."""
    found = lock.of_manifest(manifest)
    if found is None:
        raise BadInput(
            f"Cannot write {path}: the image has no lock, because an earlier version baked it.",
            "Add --refresh always to bake it again.",
        )
    try:
        with path.open("x", encoding="utf-8") as out:
            out.write(lock.to_file(found))
    except OSError as error:
        raise BadInput(f"Cannot write the lock {path}: {error.strerror}.") from None
