"""The SBOM of an image in CycloneDX 1.6, JSON; written by cyclonedx-python-lib."""

from __future__ import annotations

from typing import Any

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component as Part
from cyclonedx.model.component import ComponentType
from cyclonedx.model.contact import OrganizationalEntity
from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import is_supported_id
from packageurl import PackageURL

from bakery import __version__
from bakery.description import licenses
from bakery.description.components import Component, Image, components

_TYPES = {
    "package": ComponentType.LIBRARY,
    "base": ComponentType.OPERATING_SYSTEM,
    "runtime": ComponentType.APPLICATION,
}
_PREFIX = "worker-bakery:"  # of the names of properties


def text(image: Image) -> str:
    """The document; the same for the same image."""
    subject = _subject(image)
    bom = Bom(serial_number=image.document_id("CycloneDX"), metadata=_metadata(image, subject))
    parts = [_part(number, one) for number, one in enumerate(components(image))]
    bom.components.update(parts)
    bom.register_dependency(subject, parts)
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def _metadata(image: Image, subject: Part) -> BomMetaData:
    found = BomMetaData(component=subject, timestamp=image.made)
    found.tools.components.add(
        Part(name="worker-bakery", type=ComponentType.APPLICATION, version=__version__, bom_ref="tool")
    )
    return found


def _subject(image: Image) -> Part:
    digest = [HashType(alg=HashAlgorithm.SHA_256, content=image.digest)] if image.digest else []
    kind = ComponentType.CONTAINER if image.is_container else ComponentType.OPERATING_SYSTEM
    release = image.installed.release if image.installed else {}
    about = {
        "image": release.get("IMAGE_ID"),
        "kind": image.manifest.get("kind"),
        "base": image.manifest.get("base"),
        "plan": image.id,
    }
    return Part(
        name=image.name,
        version=image.version,
        type=kind,
        bom_ref="image",
        hashes=digest,
        properties=_properties(about),
    )


def _part(number: int, one: Component) -> Part:
    digest = [HashType(alg=HashAlgorithm.SHA_256, content=one.digest)] if one.digest else []
    return Part(
        name=one.name,
        version=one.version,
        type=_TYPES[one.kind],
        bom_ref=f"{one.kind}-{number}",
        purl=PackageURL.from_string(one.purl),
        supplier=OrganizationalEntity(name=one.supplier) if one.supplier else None,
        licenses=[_license(name) for name in one.licenses],
        hashes=digest,
        properties=_properties({"repository": one.origin, "source": one.source}),
    )


def _license(name: str) -> DisjunctiveLicense:
    """By its SPDX id if it has one, else by its name: a list of licenses cannot contain expressions."""
    spdx = licenses.expression(name)
    declared = LicenseAcknowledgement.DECLARED
    if spdx and is_supported_id(spdx):
        return DisjunctiveLicense(id=spdx, acknowledgement=declared)
    return DisjunctiveLicense(name=spdx or name, acknowledgement=declared)


def _properties(values: dict[str, Any]) -> list[Property]:
    return [Property(name=_PREFIX + name, value=str(value)) for name, value in values.items() if value]
