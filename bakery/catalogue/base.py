"""A published image as a base: `--base URL#NAME` reads it from a catalogue.

URL is the root of the catalogue (https, http or file), NAME the name of an image. `NAME@VERSION` is one of
its versions; without a version it is the latest. The image is downloaded and its digest compared as for a
vendor's image.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urljoin, urlsplit

from bakery.catalogue import streams
from bakery.catalogue.streams import Document, Entry, Tags
from bakery.image import bases
from bakery.image.bases import Base, Firmware, VendorImage
from provisioner import did_you_mean
from provisioner.errors import BadInput, Unreachable
from provisioner.roles import FAMILIES

_MOST = 64 << 20  # bytes of a document


@dataclass(frozen=True)
class Reference:
    """`url` ends in a slash; `version` is "" for the latest."""

    url: str
    name: str
    version: str = ""


def is_reference(name: str) -> bool:
    """Whether the name of a base refers to a catalogue."""
    return "://" in name


def parse(text: str, option: str = "--base") -> Reference:
    """Raises BadInput, for the value of this option."""
    url, _, fragment = text.partition("#")
    name, _, version = fragment.partition("@")
    if not name:
        raise BadInput(f"{text} names no image.", f"Write {option} {url.rstrip('/')}#NAME.")
    try:
        return Reference(bases.checked_url(url).rstrip("/") + "/", name, version)
    except ValueError as error:
        raise BadInput(f"{option}: {error}.") from None


def find(text: str, architecture: str = "") -> Base:
    """Return the base of a reference; by default for this machine's architecture.

    Raises BadInput, Unreachable.
    """
    wanted = parse(text)
    document = images(wanted.url)
    machine = architecture or bases.host()
    key = product_of(document, wanted, machine)
    return _base(wanted, streams.tags(document, key), entry_of(document, key, wanted), machine, document)


def images(url: str) -> Document:
    """Return the document of a catalogue that has its images. Raises BadInput, Unreachable."""
    found = _read(urljoin(url, streams.INDEX)).get("index", {}).get(streams.CONTENT)
    if found is None:
        raise BadInput(f"The catalogue {url} has no images of worker-bakery.")
    return _read(urljoin(url, str(found["path"])))


def _read(url: str) -> Document:
    try:
        found = json.loads(content(url))
    except ValueError:
        raise BadInput(f"{url} is not JSON.", "Give the URL of the root of a catalogue.") from None
    if not isinstance(found, dict):
        raise BadInput(f"{url} is not a document of a catalogue.")
    return found


def content(url: str) -> bytes:
    """Return a document of a catalogue. Raises BadInput, Unreachable."""
    if urlsplit(url).scheme != "file":
        from bakery.sources import download

        return download.read(url, _MOST)
    try:
        return Path(unquote(urlsplit(url).path)).read_bytes()
    except OSError as error:
        raise Unreachable(
            f"Cannot read {url}: {error.strerror}.", "Is this the root of a catalogue?"
        ) from None


def product_of(document: Document, wanted: Reference, machine: str) -> str:
    """Return the key of the product of an image for this architecture. Raises BadInput."""
    known, arch = streams.names(document), streams.ARCHITECTURES.get(machine, machine)
    if wanted.name not in known:
        others = f"It has {', '.join(sorted(known))}." if known else "It is empty."
        hint = did_you_mean.hint([wanted.name], known, others)
        raise BadInput(f"The catalogue {wanted.url} has no image {wanted.name!r}.", hint)
    if arch not in known[wanted.name]:
        there = ", ".join(known[wanted.name])
        raise BadInput(f"{wanted.name} is not available for {machine}, only for {there}.")
    return streams.product(wanted.name, arch)


def entry_of(document: Document, key: str, wanted: Reference) -> Entry:
    """Return the version that is wanted of a product. Raises BadInput."""
    found = {entry.version: entry for entry in streams.entries(document, key)}
    version = wanted.version or max(found, default="")
    if version not in found:
        there = f"It has {', '.join(found)}." if found else ""
        raise BadInput(f"{wanted.url}#{wanted.name} has no version {version or 'yet'}.", there)
    return found[version]


def _base(wanted: Reference, tags: Tags, entry: Entry, machine: str, document: Document) -> Base:
    if tags.family not in FAMILIES:
        hint = "Download the image, and use --base-image FILE --family FAMILY."
        raise BadInput(f"{wanted.url}#{wanted.name} does not say of which family its system is.", hint)
    return Base(
        name=wanted.name,
        title=f"{wanted.name} {entry.version} of {wanted.url}",
        family=tags.family,
        architecture=machine,
        end_of_life="",
        login=tags.login,
        firmware=tuple(cast(Firmware, name) for name in tags.firmware.split()) or ("bios", "efi"),
        tested=False,
        source=VendorImage(urljoin(wanted.url, entry.path), bases.hexadecimal(entry.sha256)),
        release=tags.release,
        proof=entry.proof,
        architectures=tuple(_machines(streams.names(document)[wanted.name])),
    )


def _machines(archs: tuple[str, ...]) -> list[str]:
    return [machine for machine, arch in streams.ARCHITECTURES.items() if arch in archs]
