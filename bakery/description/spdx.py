"""The SBOM of an image in SPDX 2.3, JSON; written by spdx-tools."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from license_expression import combine_expressions
from spdx_tools.spdx.model import (
    Actor,
    ActorType,
    Checksum,
    ChecksumAlgorithm,
    CreationInfo,
    Document,
    ExternalPackageRef,
    ExternalPackageRefCategory,
    ExtractedLicensingInfo,
    Package,
    PackagePurpose,
    Relationship,
    RelationshipType,
    SpdxNoAssertion,
)
from spdx_tools.spdx.writer.json.json_writer import write_document_to_stream

from bakery import __version__
from bakery.description import licenses
from bakery.description.components import Component, Image, components

_DOCUMENT, _IMAGE = "SPDXRef-DOCUMENT", "SPDXRef-image"
_PURPOSES = {
    "package": PackagePurpose.LIBRARY,
    "base": PackagePurpose.OPERATING_SYSTEM,
    "runtime": PackagePurpose.APPLICATION,
}
_PERSON = re.compile(r"(.+?)\s*<([^<>]+)>")


def text(image: Image) -> str:
    """The document; the same for the same image."""
    found = components(image)
    ids = [f"SPDXRef-{one.kind}-{number}" for number, one in enumerate(found)]
    document = Document(
        _creation(image),
        packages=[_subject(image), *map(_package, ids, found)],
        relationships=[
            Relationship(_DOCUMENT, RelationshipType.DESCRIBES, _IMAGE),
            *(Relationship(_IMAGE, RelationshipType.CONTAINS, one) for one in ids),
        ],
        extracted_licensing_info=list(_extracted(found)),
    )
    out = io.StringIO()
    write_document_to_stream(document, out, validate=False)  # 20 s; tests validate
    return out.getvalue() + "\n"


def _creation(image: Image) -> CreationInfo:
    return CreationInfo(
        "SPDX-2.3",
        _DOCUMENT,
        image.name,
        f"urn:uuid:{image.document_id('SPDX')}",
        [Actor(ActorType.TOOL, f"worker-bakery-{__version__}")],
        image.made.replace(tzinfo=None),  # the library adds the Z
    )


def _subject(image: Image) -> Package:
    purpose = PackagePurpose.CONTAINER if image.is_container else PackagePurpose.OPERATING_SYSTEM
    return _spdx_package(
        _IMAGE,
        image.name,
        image.version,
        image.digest,
        file_name=image.name,
        primary_package_purpose=purpose,
    )


def _package(spdx_id: str, one: Component) -> Package:
    category = ExternalPackageRefCategory.PACKAGE_MANAGER
    about = [f"Built from the source package {one.source}."] if one.source else []
    about += [f"Offered by the repository {one.origin}."] if one.origin else []
    return _spdx_package(
        spdx_id,
        one.name,
        one.version,
        one.digest,
        supplier=_supplier(one.supplier),
        license_declared=_declared(one.licenses),
        source_info=" ".join(about) or None,
        external_references=[ExternalPackageRef(category, "purl", one.purl)],
        primary_package_purpose=_PURPOSES[one.kind],
    )


def _spdx_package(spdx_id: str, name: str, version: str, digest: str, **more: Any) -> Package:
    return Package(
        spdx_id,
        name,
        SpdxNoAssertion(),
        version=version or None,
        files_analyzed=False,
        checksums=[Checksum(ChecksumAlgorithm.SHA256, digest)] if digest else [],
        license_concluded=SpdxNoAssertion(),
        copyright_text=SpdxNoAssertion(),
        **{"license_declared": SpdxNoAssertion(), **more},
    )


def _supplier(name: str) -> Actor | None:
    if not name:
        return None
    found = _PERSON.fullmatch(name)
    return Actor(ActorType.ORGANIZATION, *(found.groups() if found else (name,)))


def _declared(names: Iterable[str]) -> Any:
    """All licenses that a package states: its files are under each of them."""
    terms = [licenses.expression(name) or _reference(name) for name in names]
    if not terms:
        return SpdxNoAssertion()
    return combine_expressions(terms, relation="AND", licensing=licenses.licensing())


@cache
def _reference(name: str) -> str:
    """A license reference: the name, and its digest, since other characters become hyphens."""
    words = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")[:40]
    return f"LicenseRef-{words}-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:8]}"


def _extracted(found: Iterable[Component]) -> Iterator[ExtractedLicensingInfo]:
    names = sorted({name for one in found for name in one.licenses if not licenses.expression(name)})
    for name in names:
        text = f"The package names this license {name!r}. Its text is in the copyright file of the package."
        yield ExtractedLicensingInfo(_reference(name), text, name)
