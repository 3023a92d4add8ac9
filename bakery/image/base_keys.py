"""The keys of a base's TOML file: which it must and may have. The values are checked in bases.py."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from provisioner import did_you_mean
from provisioner.errors import BadInput

_REQUIRED = ("name", "title", "family", "end_of_life", "login", "firmware", "tested")
_OPTIONAL = ("architecture", "release", "file_system", "htcondor", "proof", "successor")
_TABLES = ("build", "image", "updates")
_OF_BUILD = ("distribution", "release", "root_size", "kernel_command_line", "packages")
_DIGESTS = ("sha256", "sha512")
# bakery/sources/pins.py reads this table.
_OF_UPDATES = ("index", "image", "checksums", "signature", "key")


def check(table: Mapping[str, Any], where: str) -> None:
    """Raises BadInput for a key that is missing or unknown; `where` is the file, for messages."""
    _check_names(table, where, required=_REQUIRED, optional=(*_OPTIONAL, *_TABLES))
    for name in _TABLES:
        if not isinstance(table.get(name, {}), Mapping):
            raise BadInput(f"{where}: {name} must be a table.", f"Write [{name}].")
    if "build" in table:
        _require("architecture", table, where)
        _check_names(table["build"], f"{where}: [build]", required=_OF_BUILD, optional=("tool",))
    elif "image" in table:
        _check_images(table, where)
    else:
        raise BadInput(f"{where}: there is neither a table [image] nor [build].", "Add one of them.")
    _check_names(table.get("updates", {}), f"{where}: [updates]", optional=_OF_UPDATES)


def _check_images(table: Mapping[str, Any], where: str) -> None:
    """One image for the file's only architecture, or a table for each architecture."""
    image = table["image"]
    if image and all(isinstance(value, Mapping) for value in image.values()):
        for name, one in image.items():
            _check_image(one, f"{where}: [image.{name}]")
        return
    _require("architecture", table, where)
    _check_image(image, f"{where}: [image]")


def _check_image(image: Mapping[str, Any], where: str) -> None:
    _check_names(image, where, required=("url",), optional=_DIGESTS)
    if not set(_DIGESTS) & set(image):
        raise BadInput(f"{where}: the key sha256 or sha512 is missing.")


def _check_names(
    table: Mapping[str, Any], where: str, *, required: Collection[str] = (), optional: Collection[str] = ()
) -> None:
    known = (*required, *optional)
    for name in table:
        if name not in known:
            hint = did_you_mean.hint([name], known, f"The keys are {', '.join(known)}.")
            raise BadInput(f"{where}: there is no key {name!r}.", hint)
    for name in required:
        _require(name, table, where)


def _require(name: str, table: Mapping[str, Any], where: str) -> None:
    if name not in table:
        raise BadInput(f"{where}: the key {name} is missing.")
