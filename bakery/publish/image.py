"""The image to publish: its file, and what its manifest says of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.image import bases, system
from bakery.output.formats import FORMATS, Name
from bakery.runtime import digest
from bakery.store.store import DISKS, Manifest, Store, description_path, image_manifest, read_manifest
from provisioner.errors import BadInput, NotProven, Refused, WrongChecksum
from provisioner.events import Monitor, phase

# The highest level comes last. A container image has the levels of its format only.
LEVELS = ("none", "offline", "boot", "pool", "clone")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._ -]{0,98}[A-Za-z0-9._-])?")


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


def find(
    named: str, store: Store, published_as: str, monitor: Monitor, signed_by: Path | None = None
) -> Image:
    """Return an image by its path, or by its name in the cache; reads the whole file.

    Its manifest is beside it, or is that of the image of the cache with the same content. With `signed_by`,
    a public key of minisign, this key must have signed the image and its description.
    Raises BadInput, NotProven, WrongChecksum; Refused: it is not signed, or was changed.
    """
    path = _path(named, store)
    beside = [_signed(path, signed_by, monitor)] if signed_by else _beside(path)
    with phase(monitor, "read the image"):
        content = digest.of(path)
    cached = () if signed_by else (store.root / "images").glob("*.json")
    return _image(path, content, _manifest(path, content, beside, cached), published_as)


def of_catalogue(path: Path, manifest: Mapping[str, Any], sha256: str, published_as: str) -> Image:
    """Return an image of a catalogue, whose digest and manifest were compared.

    Raises WrongChecksum: the manifest is that of another image; BadInput.
    """
    if manifest.get("sha256") != sha256:
        raise WrongChecksum(
            f"The manifest of {published_as} in the catalogue is that of another image.",
            "Publish the image again.",
        )
    return _image(path, sha256, dict(manifest), published_as)


def _image(path: Path, content: str, manifest: Manifest, published_as: str) -> Image:
    name = published_as or _default_name(manifest)
    if not _NAME.fullmatch(name):
        raise BadInput(f"--name {name!r}: use letters, digits, dots, dashes, underscores and spaces.")
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


def _beside(path: Path) -> list[Manifest]:
    """The manifest that the cache has beside an image, and the one of its description."""
    return [found for found in (read_manifest(path), image_manifest(path)) if found]


def _signed(path: Path, public_key: Path, monitor: Monitor) -> Manifest:
    """The manifest that the key has signed with the image. Raises BadInput, Refused."""
    from bakery.description import files, signature  # few publications need them

    with phase(monitor, "check the signature"):
        problems = signature.problems(path, public_key)
    if problems:
        raise Refused(
            f"{path} is not signed as --require-signature demands. {' '.join(problems)}",
            "Publish an image that this key has signed with worker-bakery sign.",
        )
    signed: Manifest = json.loads(description_path(path, files.MANIFEST).read_text("utf-8"))
    return signed


def _manifest(path: Path, content: str, beside: Sequence[Manifest], cached: Iterable[Path]) -> Manifest:
    if known := next((found for found in beside if found.get("sha256") == content), None):
        return known
    for other in cached:
        found = _of_cache(other)
        if found.get("sha256") == content:
            return found
    if beside:
        raise WrongChecksum(
            f"{path} has the sha256 {content}; the manifest beside it is for {beside[0].get('sha256')}.",
            "Bake the image again, or restore the file.",
        )
    raise NotProven(
        f"{path} has no proof: no manifest is beside it, and no image of the cache has this content.",
        "Publish an image of the cache, or one that bake-image -o has written with its manifest beside it.",
    )


def _of_cache(path: Path) -> Manifest:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def require_file_name(image: Image) -> None:
    """Raise BadInput if the name cannot be one of a file, and a part of a URL, as it is."""
    if " " in image.name:
        raise BadInput(
            f"--name {image.name!r}: only an image in OpenStack can have spaces in its name.",
            "Use letters, digits, dots, dashes and underscores.",
        )


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
