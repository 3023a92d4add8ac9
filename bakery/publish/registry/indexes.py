"""Upload an index of manifests that the registry has: of architectures, or of what refers to an image."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bakery.output.oci import layout
from bakery.publish.registry.plan import Part
from bakery.publish.registry.skopeo import Remote


def descriptor(part: Part) -> dict[str, Any]:
    """The descriptor of an image of one platform (OCI image-spec, image-index.md)."""
    return {
        "mediaType": layout.MANIFEST,
        "digest": f"sha256:{part.digest}",
        "size": part.size,
        "platform": {"architecture": part.architecture, "os": part.os},
    }


def push(remote: Remote, tag: str, descriptors: Sequence[dict[str, Any]]) -> None:
    """Let a tag name an index of these descriptors. Raises TooOld, and what Remote raises."""
    index = layout.index_bytes(descriptors)
    with written(layout.layout_entries(layout.descriptor(layout.INDEX, index), [index])) as archive:
        remote.push_index(archive, tag)


@contextmanager
def written(entries: tuple[layout.Entry, ...]) -> Iterator[Path]:
    """A small OCI archive while the block runs."""
    with tempfile.TemporaryDirectory(prefix="worker-bakery-") as folder:
        archive = Path(folder) / "layout.tar"
        layout.write_archive(entries, archive)
        yield archive
