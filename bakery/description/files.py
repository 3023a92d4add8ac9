"""The files of an image's description, beside the image: made from its manifest, without reading the image.

    NAME.manifest.json      base, plan, lock, packages, proof
    NAME.cdx.json           SBOM, CycloneDX 1.6
    NAME.spdx.json          SBOM, SPDX 2.3
    NAME.provenance.json    how it was baked: an in-toto statement with SLSA provenance
    NAME.verification.json  what was shown of it: an in-toto statement with test results
    NAME.intoto.jsonl       both in signed envelopes (signature.py)
    NAME.SHA256SUMS         the digests of all files and of the image, for `sha256sum -c`

NAME is that of the image without .qcow2 or .tar.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bakery.description import components, statements
from bakery.description.components import Image
from bakery.freshness import lock
from bakery.output.commit import write_into_place
from bakery.runtime import digest
from bakery.store.store import DESCRIPTION, description_path, remove_description
from provisioner.errors import BadInput, WrongChecksum

MANIFEST, CYCLONEDX, SPDX, PROVENANCE, VERIFICATION = DESCRIPTION[:5]
STATEMENTS = (PROVENANCE, VERIFICATION)
SUMS = ".SHA256SUMS"
_SUM = re.compile(r"(?P<escaped>\\?)(?P<digest>[0-9a-f]{64}) [ *](?P<name>.+)")


def write(image: Path, manifest: Mapping[str, Any], folder: Path | None = None) -> tuple[Path, ...]:
    """Write the description of an image beside it, or into `folder`; return its paths.

    An older description is removed with its signature. The manifest's digest of the image is used.
    Raises BadInput, DiskFull.
    """
    at = image if folder is None else folder / image.name
    found = texts(components.of_manifest(image, manifest))
    remove_description(at)
    for suffix, text in found.items():
        write_into_place(text.encode(), description_path(at, suffix))
    return (*(description_path(at, suffix) for suffix in found), write_sums(at, image, manifest))


def write_manifest(image: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest and the digests beside an image; `write` makes all other files of the manifest.

    An older description is removed with its signature. Raises BadInput, DiskFull.
    """
    remove_description(image)
    write_into_place(manifest_text(manifest).encode(), description_path(image, MANIFEST))
    write_sums(image, image, manifest)


def texts(image: Image) -> dict[str, str]:
    """The files by suffix, without that of the digests. Raises BadInput without a plan in the manifest."""
    published = manifest_text(image.manifest)
    return {
        MANIFEST: published,
        **sbom_texts(image),
        **{suffix: statements.text(one) for suffix, one in _statements(image, published)},
    }


def sbom_texts(image: Image) -> dict[str, str]:
    """The SBOMs by suffix."""
    from bakery.description import cyclonedx, spdx  # slow to import

    return {CYCLONEDX: cyclonedx.text(image), SPDX: spdx.text(image)}


def _statements(image: Image, published: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Of an image without a plan or without a proof, nothing is stated about them."""
    if "plan" in image.manifest and image.digest:
        yield PROVENANCE, statements.provenance(image, published)
        if found := statements.verification(image):
            yield VERIFICATION, found


def public(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest to publish: without the URLs of mirrors that the bake used."""
    found = lock.of_manifest(manifest)
    return {**manifest, **({"lock": lock.to_json(lock.public(found))} if found else {})}


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """The manifest to publish, as its file has it."""
    return json.dumps(public(manifest), indent=1) + "\n"


def write_sums(at: Path, image: Path, manifest: Mapping[str, Any]) -> Path:
    """Write the digests of the image and of the files of its description that are beside `at`.

    Raises WrongChecksum: the image differs from its manifest.
    """
    rows = [*_image_rows(image, manifest), *(_row(path, path.name) for path in described(at))]
    sums = description_path(at, SUMS)
    write_into_place("".join(rows).encode(), sums)
    return sums


def described(image: Path) -> list[Path]:
    """The files of the description that exist beside an image, without the digests and their signature."""
    names = (one for one in DESCRIPTION if not one.startswith(SUMS))
    return [path for path in (description_path(image, one) for one in names) if path.exists()]


def check(image: Path, manifest: Mapping[str, Any]) -> str:
    """Return the digest of an image. Raises WrongChecksum: it differs from its manifest."""
    found = digest.of(image)
    if found != manifest.get("sha256", found):
        raise WrongChecksum(
            f"{image} differs from its manifest: its SHA-256 is {found}, that in the manifest is "
            f"{manifest['sha256']}.",
            "Copy or bake the image again.",
        )
    return found


def _image_rows(image: Path, manifest: Mapping[str, Any]) -> Iterator[str]:
    """Of an OCI layout, which is a folder, the digest of each file."""
    if not image.is_dir():
        yield _line(check(image, manifest), image.name)
        return
    for name in image_names(image):
        yield _row(image.parent / name, name)


def image_names(image: Path) -> list[str]:
    """The name of the image; of an OCI layout those of its files."""
    if not image.is_dir():
        return [image.name]
    return sorted(str(path.relative_to(image.parent)) for path in image.rglob("*") if path.is_file())


def _row(path: Path, name: str) -> str:
    return _line(digest.of(path), name)


def _line(found: str, name: str) -> str:
    """A line of sha256sum(1), which escapes names with a backslash or a line break."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{chr(92) if escaped != name else ''}{found}  {escaped}\n"


def read_sums(sums: Path) -> dict[str, str]:
    """Digests by file name. Raises BadInput for lines that are not those of sha256sum(1)."""
    found: dict[str, str] = {}
    for line in sums.read_text("utf-8").removesuffix("\n").split("\n"):
        row = _SUM.fullmatch(line)
        if row is None:
            raise BadInput(f"{sums} has a line that is not one of sha256sum: {line[:80]!r}.")
        name = row["name"]
        if row["escaped"]:
            name = re.sub(r"\\(.)", lambda one: {"n": "\n", "r": "\r"}.get(one[1], one[1]), name)
        found[name] = row["digest"]
    return found
