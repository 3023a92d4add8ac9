"""The image to publish: its file, and what its manifest says of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.image import bases, system
from bakery.output.formats import FORMATS, Name
from bakery.runtime import digest
from bakery.store.store import DISKS, Store, manifest_path, read_manifest
from provisioner.errors import BadInput, NotProven, WrongChecksum
from provisioner.events import Monitor, phase

# The highest level comes last. A container image has the levels of its format only.
LEVELS = ("none", "offline", "boot", "pool", "clone")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class System:
    """The system in an image. `os` and `version` are ID and VERSION_ID of os-release(5).

    `architecture` is as `uname -m` prints it; the rest is as in bakery.image.bases.Base.
    """

    os: str
    version: str
    release: str
    family: str
    login: str
    firmware: tuple[str, ...]
    architecture: str


@dataclass(frozen=True)
class Image:
    """An image that exists; `name` is the one under which it is published, `levels` are proven ones."""

    path: Path
    name: str
    format: Name
    id: str
    kind: str
    base: str
    made: str
    size: int  # bytes
    sha256: str
    levels: tuple[str, ...]
    system: System
    manifest: Mapping[str, Any]


def find(named: str, store: Store, published_as: str, monitor: Monitor) -> Image:
    """Return an image by its path, or by its name in the cache; reads the whole file.

    Its manifest is beside it, or is that of the image of the cache with the same content. Raises BadInput,
    NotProven, WrongChecksum.
    """
    path = _path(named, store)
    with phase(monitor, "read the image"):
        content = digest.of(path)
    manifest = _manifest(path, content, store)
    name = published_as or _default_name(manifest)
    if not _NAME.fullmatch(name):
        raise BadInput(f"--name {name!r}: use letters, digits, dots, dashes and underscores.")
    return Image(
        path=path,
        name=name,
        format=next(form.name for form in FORMATS.values() if form.suffix == path.suffix),
        id=manifest["id"],
        kind=manifest["kind"],
        base=manifest["base"],
        made=manifest.get("made", ""),
        size=path.stat().st_size,
        sha256=content,
        levels=tuple(level for level in LEVELS if level in manifest["proof"]),
        system=_system(manifest),
        manifest=manifest,
    )


def _default_name(manifest: Mapping[str, Any]) -> str:
    """The IMAGE_ID in the image: the name of its definition, otherwise KIND-BASE as for earlier images."""
    release: Mapping[str, str] = manifest.get("os_release", {})
    return release.get("IMAGE_ID") or f"{manifest['kind']}-{manifest['base']}"


def _path(named: str, store: Store) -> Path:
    candidates = [Path(named), *(store.root / "images" / f"{named}{suffix}" for suffix in DISKS)]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        hint = "worker-bakery cache list shows the images of the cache."
        raise BadInput(f"There is no image {named}.", hint)
    if found.suffix not in DISKS:
        raise BadInput(f"{found} is not an image: its name must end in {' or '.join(DISKS)}.")
    return found.resolve()


def _manifest(path: Path, content: str, store: Store) -> dict[str, Any]:
    beside = read_manifest(path)
    if beside and beside.get("sha256") == content:
        return beside
    for other in (store.root / "images").glob("*.json"):
        found = _of_cache(other)
        if found.get("sha256") == content:
            return found
    if beside:
        message = (
            f"{path} has the sha256 {content}; {manifest_path(path)} describes {beside.get('sha256')}."
        )
        raise WrongChecksum(message, "Bake the image again, or restore the file.")
    raise NotProven(
        f"{path} has no proof: no manifest is beside it, and no image of the cache has this content.",
        "Publish an image that bake-image has made, with its manifest (NAME.json) beside it.",
    )


def _of_cache(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def require_proof(image: Image, level: str) -> None:
    """Raise NotProven if the image has not been verified to this level; "none" requires nothing."""
    if level == "none" or level in image.levels:
        return
    shown = f"only to {image.levels[-1]}" if image.levels else "at no level"
    raise NotProven(
        f"{image.path.name} was verified {shown}; publishing it requires {level}.",
        f"Bake it again with --verify {level}, which only adds the missing proof; or publish it with "
        f"--require-proof {image.levels[-1] if image.levels else 'none'}.",
    )


def default_level(image: Image) -> str:
    """Return the level that publishing requires unless told otherwise: the highest of the format."""
    return LEVELS[-1] if FORMATS[image.format].boots else FORMATS[image.format].levels[-1]


# --- the system in the image -------------------------------------------------------------------


def _system(manifest: Mapping[str, Any]) -> System:
    """Raises BadInput for an image of an earlier version whose base is not one of ours."""
    recorded: Mapping[str, Any] = manifest.get("system") or _of_base(manifest["base"])
    release: Mapping[str, str] = manifest.get("os_release", {})
    return System(
        os=release.get("ID", "") or recorded["os"],
        version=release.get("VERSION_ID", "") or recorded["version"],
        release=recorded["release"] or release.get("VERSION_CODENAME", ""),
        family=recorded["family"],
        login=recorded["login"],
        firmware=tuple(recorded["firmware"]),
        architecture=recorded["architecture"],
    )


def _of_base(name: str) -> Mapping[str, Any]:
    known = {base.name: base for base in bases.known()}
    if name not in known:
        raise BadInput(f"The manifest does not say which system {name} has.", "Bake the image again.")
    return system.of(known[name])
