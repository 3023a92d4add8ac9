"""Write the files of an OCI layout as an archive that docker, podman and buildah load."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.output.oci.layer import Layer
from provisioner.errors import BadInput

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
# The files of a layout: other names in an untrusted archive are ignored.
_NAMES = re.compile(r"oci-layout|index\.json|manifest\.json|blobs/sha256/[0-9a-f]{64}")
_REF_NAME = "org.opencontainers.image.ref.name"
_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
NAME = "one"  # of the only manifest in a layout for an upload


@dataclass(frozen=True)
class Entry:
    """A file of the layout; `content` is its bytes or a file with them."""

    name: str
    content: bytes | Path


def entries(config: dict[str, Any], layer: Layer, tag: str) -> tuple[Entry, ...]:
    """Return all files, sorted by name.

    manifest.json is that of docker-archive and refers to the same blobs.
    """
    config_json = json_bytes(config)
    config_digest = _sha256(config_json)
    manifest = _manifest(descriptor(_CONFIG, config_json), layer, config)
    manifest_digest = _sha256(manifest)
    found: dict[str, bytes | Path] = {
        "oci-layout": _LAYOUT,
        # The part of the tag after the colon, which is NAME in oci:PATH:NAME.
        "index.json": _index_json(descriptor(MANIFEST, manifest), tag.rpartition(":")[2]),
        "manifest.json": json_bytes([_for_docker(config_digest, layer, tag)]),
        _blob(config_digest): config_json,
        _blob(manifest_digest): manifest,
        _blob(layer.digest): layer.path,
    }
    return tuple(Entry(name, found[name]) for name in sorted(found))


def layout_entries(described: dict[str, Any], blobs: Sequence[bytes]) -> tuple[Entry, ...]:
    """Return the files of a layout with one manifest or index, named NAME, and these blobs."""
    files = {_blob(_sha256(content)): content for content in blobs}
    files |= {"oci-layout": _LAYOUT, "index.json": _index_json(described, NAME)}
    return tuple(Entry(path, files[path]) for path in sorted(files))


def _manifest(config: dict[str, Any], layer: Layer, image_config: dict[str, Any]) -> bytes:
    return json_bytes(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": [{"mediaType": _LAYER, "digest": f"sha256:{layer.digest}", "size": layer.size}],
            "annotations": image_config["config"]["Labels"],
        }
    )


def index_bytes(manifests: Sequence[dict[str, Any]]) -> bytes:
    """Return an index of these descriptors."""
    return json_bytes({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(manifests)})


def _index_json(described: dict[str, Any], name: str) -> bytes:
    annotations = {**described.get("annotations", {}), _REF_NAME: name}
    return index_bytes([{**described, "annotations": annotations}])


def _for_docker(config_digest: str, layer: Layer, tag: str) -> dict[str, Any]:
    return {"Config": _blob(config_digest), "RepoTags": [tag], "Layers": [_blob(layer.digest)]}


def descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    """Return the descriptor of a blob."""
    return {"mediaType": media_type, "digest": f"sha256:{_sha256(content)}", "size": len(content)}


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def json_bytes(value: Any) -> bytes:
    """Return JSON without blanks, with sorted keys."""
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
