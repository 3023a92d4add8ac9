"""What refers to an image in a registry: its SBOM in two formats, as artifacts with a subject. Pure.

An artifact is a manifest that names its subject; a registry with the referrers API lists it from then on.
For other registries, the tag sha256-DIGEST of the subject is an index of the artifacts.
(OCI image-spec 1.1, manifest.md; distribution-spec 1.1, "Listing Referrers" and "Referrers Tag Schema".)
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bakery.description import components, files, packages
from bakery.output.oci import layout
from bakery.output.oci.layout import Entry
from bakery.publish.image import Image

# The registered media types of the two formats of SBOMs (CycloneDX 1.6; IANA, application/spdx+json).
MEDIA_TYPES = {files.CYCLONEDX: "application/vnd.cyclonedx+json", files.SPDX: "application/spdx+json"}
_FORMATS = {files.CYCLONEDX: "CycloneDX", files.SPDX: "SPDX"}
# An artifact has no configuration (image-spec, "Guidance for an Empty Descriptor").
_EMPTY_TYPE, _EMPTY = "application/vnd.oci.empty.v1+json", b"{}"


@dataclass(frozen=True)
class Artifact:
    """A document about an image and its manifest; `title` is for people."""

    title: str
    content: bytes
    manifest: bytes
    descriptor: dict[str, Any]

    @property
    def digest(self) -> str:
        """With the algorithm before it, as registries have it."""
        return str(self.descriptor["digest"])

    def entries(self) -> tuple[Entry, ...]:
        """The files of an OCI layout with the artifact alone."""
        blobs = (self.content, self.manifest, _EMPTY)
        return layout.layout_entries(self.descriptor, blobs)


def sboms(image: Image, subject: dict[str, Any]) -> tuple[Artifact, ...]:
    """The SBOMs of the image with this descriptor; none if its packages are unknown."""
    installed = packages.of_manifest(image.manifest)
    if installed is None:
        return ()
    digest = str(subject["digest"]).removeprefix("sha256:")
    about = components.Image(f"{image.name}-{image.id[:12]}", image.manifest, installed, digest)
    texts = files.sbom_texts(about)
    return tuple(_artifact(suffix, texts[suffix].encode(), image, subject) for suffix in MEDIA_TYPES)


def _artifact(suffix: str, content: bytes, image: Image, subject: dict[str, Any]) -> Artifact:
    media_type = MEDIA_TYPES[suffix]
    layer = layout.descriptor(media_type, content)
    title = {"org.opencontainers.image.title": f"{image.name}{suffix}"}
    made = {"org.opencontainers.image.created": image.made.replace("+00:00", "Z")} if image.made else {}
    manifest = layout.json_bytes(
        {
            "schemaVersion": 2,
            "mediaType": layout.MANIFEST,
            "artifactType": media_type,
            "config": layout.descriptor(_EMPTY_TYPE, _EMPTY),
            "layers": [{**layer, "annotations": title}],
            "subject": subject,
            "annotations": made,
        }
    )
    described = {**layout.descriptor(layout.MANIFEST, manifest), "artifactType": media_type}
    return Artifact(f"the SBOM ({_FORMATS[suffix]})", content, manifest, {**described, "annotations": made})


def tag_of(digest: str) -> str:
    """The tag of the index of what refers to a manifest; `digest` is hexadecimal."""
    return f"sha256-{digest}"


def is_such_a_tag(name: str) -> bool:
    """Whether a tag is not that of an image: an index of referrers, or a signature of cosign."""
    return name.startswith("sha256-")


def merged(there: Sequence[dict[str, Any]], artifacts: Sequence[Artifact]) -> list[dict[str, Any]]:
    """The descriptors of an index with the artifacts; those of others stay.

    Of ours, an older one of the same type is replaced.
    """
    types = {artifact.descriptor["artifactType"] for artifact in artifacts}
    kept = [one for one in there if one.get("artifactType") not in types]
    return [*kept, *(artifact.descriptor for artifact in artifacts)]


def listed(index: bytes) -> list[dict[str, Any]]:
    """The descriptors in an index."""
    found = json.loads(index)["manifests"]
    return [dict(one) for one in found]
