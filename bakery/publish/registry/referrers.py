"""The SBOM of a container image as an artifact that refers to the image.

Registries without an API for referrers find it by a tag, sha256-DIGEST, which names an index of all
referrers. (OCI distribution-spec 1.1, "Listing Referrers"; image-spec 1.1, manifest.md.)
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_EMPTY = "application/vnd.oci.empty.v1+json"
# Media types of CycloneDX and SPDX as IANA has them.
CYCLONEDX, SPDX = "application/vnd.cyclonedx+json", "application/spdx+json"
NAME = "referrers"  # of the index in the layout


@dataclass(frozen=True)
class Artifact:
    """A document about an image, with its media type and a name for people."""

    media_type: str
    title: str
    content: bytes


@dataclass(frozen=True)
class Referrers:
    """The files of an OCI layout by name, and the digest (hexadecimal) of its index."""

    files: dict[str, bytes]
    digest: str


def tag(digest: str) -> str:
    """Return the tag of the referrers of the manifest with this digest (hexadecimal)."""
    return f"sha256-{digest}"


def layout(subject: bytes, artifacts: tuple[Artifact, ...]) -> Referrers:
    """Return a layout with an artifact for each document; `subject` is the manifest of the image. Pure."""
    blobs: dict[str, bytes] = {}

    def stored(media_type: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    refers_to = {"mediaType": _MANIFEST, "digest": _digest(subject), "size": len(subject)}
    listed = []
    for artifact in artifacts:
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "artifactType": artifact.media_type,
            "config": stored(_EMPTY, b"{}"),
            "layers": [
                {
                    **stored(artifact.media_type, artifact.content),
                    "annotations": {"org.opencontainers.image.title": artifact.title},
                }
            ],
            "subject": refers_to,
        }
        listed.append({**stored(_MANIFEST, _json(manifest)), "artifactType": artifact.media_type})
    index = stored(_INDEX, _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": listed}))
    named = {**index, "annotations": {"org.opencontainers.image.ref.name": NAME}}
    files = {
        **blobs,
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [named]}),
    }
    return Referrers(files, index["digest"].removeprefix("sha256:"))


def write(referrers: Referrers, folder: Path) -> None:
    """Write the layout to a folder."""
    for name, content in referrers.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
