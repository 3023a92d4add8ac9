"""Write the files of an OCI layout as an archive that docker, podman and buildah load."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.output.oci.layer import Layer
from provisioner.errors import BadInput

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
# The files of a layout: other names in an untrusted archive are ignored.
_NAMES = re.compile(r"oci-layout|index\.json|manifest\.json|blobs/sha256/[0-9a-f]{64}")
_REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class Entry:
    """A file of the layout; `content` is its bytes or a file with them."""

    name: str
    content: bytes | Path


def entries(config: dict[str, Any], layer: Layer, tag: str) -> tuple[Entry, ...]:
    """Return all files, sorted by name.

    manifest.json is that of docker-archive and refers to the same blobs.
    """
    config_json = _json(config)
    config_digest = _sha256(config_json)
    manifest = _manifest(_descriptor(_CONFIG, config_digest, len(config_json)), layer, config)
    manifest_digest = _sha256(manifest)
    found: dict[str, bytes | Path] = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _index(_descriptor(_MANIFEST, manifest_digest, len(manifest)), tag),
        "manifest.json": _json([_for_docker(config_digest, layer, tag)]),
        _blob(config_digest): config_json,
        _blob(manifest_digest): manifest,
        _blob(layer.digest): layer.path,
    }
    return tuple(Entry(name, found[name]) for name in sorted(found))


def _manifest(config: dict[str, Any], layer: Layer, image_config: dict[str, Any]) -> bytes:
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": config,
            "layers": [_descriptor(_LAYER, layer.digest, layer.size)],
            "annotations": image_config["config"]["Labels"],
        }
    )


def _index(manifest: dict[str, Any], tag: str) -> bytes:
    # The part after the colon, which is NAME in oci:PATH:NAME.
    named = {**manifest, "annotations": {_REF_NAME: tag.rpartition(":")[2]}}
    return _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [named]})


def _for_docker(config_digest: str, layer: Layer, tag: str) -> dict[str, Any]:
    return {"Config": _blob(config_digest), "RepoTags": [tag], "Layers": [_blob(layer.digest)]}


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def image_digest(folder: Path) -> str:
    """Return the SHA-256 of the image manifest in a layout. Raises BadInput: the folder is not a layout."""
    try:
        [manifest] = json.loads((folder / "index.json").read_bytes())["manifests"]
        return str(manifest["digest"]).removeprefix("sha256:")
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(f"{folder} is not an OCI layout with one image.") from None


# --- archives -----------------------------------------------------------------------------------


def write_archive(files: tuple[Entry, ...], target: Path) -> None:
    """Write the layout as a tar archive, reproducibly."""
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as archive:
        for entry in files:
            member = tarfile.TarInfo(entry.name)  # owner 0, time 0
            if isinstance(entry.content, bytes):
                member.size = len(entry.content)
                archive.addfile(member, io.BytesIO(entry.content))
            else:
                member.size = entry.content.stat().st_size
                with entry.content.open("rb") as data:
                    archive.addfile(member, data)


def unpack(archive: Path, folder: Path) -> None:
    """Extract the layout to a new folder. Entries with other names are ignored."""
    folder.mkdir()
    for name, data in _members(archive):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("wb") as out:
            shutil.copyfileobj(data, out, 1 << 20)


def _members(archive: Path) -> Iterator[tuple[str, Any]]:
    with tarfile.open(archive, "r:") as members:
        for member in members:
            if member.isfile() and _NAMES.fullmatch(member.name):
                yield member.name, members.extractfile(member)
