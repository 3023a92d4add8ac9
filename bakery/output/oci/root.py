"""Extract the root directory of a container image from an archive, verifying every blob."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

from bakery.output.oci import layout
from bakery.output.oci.layer import sha256
from provisioner.errors import BadInput
from provisioner.process import run


def is_archive(path: Path) -> bool:
    """Whether the file is a tar archive, by its content."""
    return path.is_file() and tarfile.is_tarfile(path)


def open_archive(archive: Path, work: Path, root: Path) -> dict[str, Any]:
    """Extract the image to the new folder `root` and return its configuration.

    Raises BadInput when the archive is not an image, or a blob differs from its digest.
    """
    folder = work / "layout"
    try:
        layout.unpack(archive, folder)
        [manifest] = json.loads((folder / "index.json").read_text())["manifests"]
        described = json.loads(_blob(folder, manifest).read_text())
        config: dict[str, Any] = json.loads(_blob(folder, described["config"]).read_text())
        layers = [_blob(folder, layer) for layer in described["layers"]]
    except (tarfile.TarError, OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{archive} is not an archive of a container image: {error}.") from None
    root.mkdir()
    for layer in layers:
        keep = ("--numeric-owner", "--same-permissions", "--xattrs", "--xattrs-include=*")
        run.call(["tar", "--extract", "--gzip", "--file", str(layer), *keep, "--directory", str(root)])
    return config


def _blob(folder: Path, descriptor: dict[str, Any]) -> Path:
    digest = str(descriptor["digest"]).removeprefix("sha256:")
    path = folder / "blobs/sha256" / digest
    if sha256(path) != digest:
        raise BadInput(f"The blob {digest} of the image is damaged.", "Bake or download the image again.")
    return path
