"""The documents of a catalogue, which follow simplestreams 1.0. Pure.

    streams/v1/index.json    the products, and the path of the next document
    streams/v1/images.json   for each product its versions, the latest last in the order of their names
    images/NAME/ARCH/…       the files that images.json names

A product is one name for one architecture. It has the tags of Ubuntu's cloud images (`arch`, `os`,
`release`, `version`; in an item `ftype`, `path`, `size`, `sha256`), which glance-simplestreams-sync and
sstream-mirror read, and some of ours. Values are text, because other readers ignore all others. Products
that other programs have added stay as they are.

Source: simplestreams' doc/README, and the documents of Ubuntu's and LXD's image servers.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

INDEX = "streams/v1/index.json"
IMAGES = "streams/v1/images.json"
CONTENT = "worker-bakery:images"
DISK = "disk1.img"  # the item and ftype of a disk with a partition table
MANIFEST = "manifest.json"
# Names of architectures in Debian, Ubuntu and simplestreams.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_TIME = "%Y%m%d.%H%M%S"

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """One version of a product. `path` is below the root of the catalogue, `size` in bytes.

    `manifest` is the path of the manifest. `proof` are verification levels with blanks between them. Tags
    that the document lacks are empty.
    """

    version: str
    path: str
    size: int
    sha256: str
    id: str = ""
    made: str = ""
    proof: str = ""
    pubname: str = ""
    manifest: str = ""
    manifest_sha256: str = ""
    manifest_size: int = 0


@dataclass(frozen=True)
class Tags:
    """The tags of a product. `arch` is Debian's name, `firmware` bios, efi or both with a blank between."""

    arch: str
    os: str
    version: str
    release: str
    release_title: str
    kind: str
    base: str
    family: str
    login: str
    firmware: str


def product(name: str, arch: str) -> str:
    """Return the name of a product, as in `worker-bakery:osg-debian13:amd64`."""
    return f"worker-bakery:{name}:{arch}"


def names(document: Document) -> dict[str, tuple[str, ...]]:
    """Return the names of our products, each with its architectures."""
    found: dict[str, tuple[str, ...]] = {}
    for key in document.get("products", {}):
        prefix, _, rest = key.partition(":")
        name, _, arch = rest.rpartition(":")
        if prefix == "worker-bakery" and name:
            found[name] = (*found.get(name, ()), arch)
    return found


def entries(document: Document, key: str) -> tuple[Entry, ...]:
    """Return the versions of a product that have a disk, the latest last."""
    versions = document.get("products", {}).get(key, {}).get("versions", {})
    return tuple(
        _entry(name, versions[name]) for name in sorted(versions) if DISK in _items(versions[name])
    )


def _items(version: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = version.get("items", {})
    return found


def _entry(name: str, version: Mapping[str, Any]) -> Entry:
    disk, manifest = _items(version)[DISK], _items(version).get(MANIFEST, {})
    named = {tag: str(version.get(tag, "")) for tag in ("id", "made", "proof", "pubname")}
    return Entry(
        name,
        str(disk.get("path", "")),
        int(disk.get("size", 0)),
        str(disk.get("sha256", "")),
        **named,
        manifest=str(manifest.get("path", "")),
        manifest_sha256=str(manifest.get("sha256", "")),
        manifest_size=int(manifest.get("size", 0)),
    )


def tags(document: Document, key: str) -> Tags:
    """Return the tags of a product; those that it lacks are empty."""
    found = document.get("products", {}).get(key, {})
    return Tags(**{name: str(found.get(name, "")) for name in Tags.__annotations__})


def next_version(document: Document, key: str, now: datetime.datetime) -> str:
    """Return a name for a new version, later than all that the product has: UTC, as 20261129.083000."""
    wanted = now.astimezone(datetime.UTC).strftime(_TIME)
    latest = max(document.get("products", {}).get(key, {}).get("versions", {}), default="")
    return wanted if wanted > latest else f"{latest}.1"


# --- changed documents -------------------------------------------------------------------------


def with_entry(document: Document, key: str, common: Tags, entry: Entry) -> dict[str, Any]:
    """Return the document with this version added or replaced; the tags of the product become `common`."""
    products = document.get("products", {})
    before = products.get(key, {})
    versions = {**before.get("versions", {}), entry.version: _version(entry)}
    changed = {**before, **asdict(common), "supported": "true", "versions": versions}
    return {**_empty(), **document, "products": {**products, key: changed}}


def _version(entry: Entry) -> dict[str, Any]:
    items = {DISK: _item(DISK, entry.path, entry.sha256, entry.size)}
    if entry.manifest:
        items[MANIFEST] = _item(MANIFEST, entry.manifest, entry.manifest_sha256, entry.manifest_size)
    ours = {"id": entry.id, "made": entry.made, "proof": entry.proof, "pubname": entry.pubname}
    return {**ours, "label": "release", "items": items}


def _item(ftype: str, path: str, sha256: str, size: int) -> dict[str, Any]:
    return {"ftype": ftype, "path": path, "sha256": sha256, "size": size}


def without(document: Document, key: str, versions: Iterable[str]) -> dict[str, Any]:
    """Return the document without these versions of a product."""
    gone, found = set(versions), document["products"][key]
    kept = {name: version for name, version in found["versions"].items() if name not in gone}
    return {**document, "products": {**document["products"], key: {**found, "versions": kept}}}


def dated(document: Document, now: datetime.datetime) -> dict[str, Any]:
    """Return the document with the time of its change (RFC 2822, as simplestreams requires)."""
    from email.utils import format_datetime

    return {**document, "updated": format_datetime(now.astimezone(datetime.UTC))}


def index(before: Document, document: Document) -> dict[str, Any]:
    """Return the index of `document`; entries of `before` for other documents stay."""
    ours = {
        "datatype": document["datatype"],
        "format": document["format"],
        "path": IMAGES,
        "products": sorted(document["products"]),
        "updated": document.get("updated", ""),
    }
    return {
        "format": "index:1.0",
        "updated": document.get("updated", ""),
        "index": {**before.get("index", {}), CONTENT: ours},
    }


def paths(document: Document) -> frozenset[str]:
    """Return the paths of all files that the document names."""
    return frozenset(
        item["path"]
        for found in document.get("products", {}).values()
        for version in found.get("versions", {}).values()
        for item in _items(version).values()
        if "path" in item
    )


def _empty() -> dict[str, Any]:
    return {"format": "products:1.0", "datatype": "image-downloads", "content_id": CONTENT, "products": {}}
