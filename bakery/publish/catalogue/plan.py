"""What to do to a catalogue, from its document and the list of its files. Pure."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from bakery.catalogue import streams
from bakery.catalogue.streams import ARCHITECTURES, Document, Entry, Tags
from bakery.description import files as files_of_description
from bakery.publish.image import Image


@dataclass(frozen=True)
class UploadImage:
    """Write the disk to `path`, unless a file with its content is there."""

    path: str
    size: int

    def __str__(self) -> str:
        return f"upload the image, {self.size / 2**20:.0f} MiB, to {self.path}"


@dataclass(frozen=True)
class Write:
    """Write a small file at once: nobody reads half of it."""

    path: str
    content: bytes
    purpose: str

    def __str__(self) -> str:
        return f"write {self.path}: {self.purpose}"


@dataclass(frozen=True)
class Remove:
    """Remove a file that the catalogue does not name."""

    path: str

    def __str__(self) -> str:
        return f"remove {self.path}"


Action = UploadImage | Write | Remove


@dataclass(frozen=True)
class Plan:
    """`actions` in their order; `entry` is the version that is the latest afterwards."""

    actions: tuple[Action, ...]
    entry: Entry
    retired: tuple[str, ...]

    @property
    def uploads(self) -> bool:
        return any(isinstance(action, UploadImage) for action in self.actions)


def folder(image: Image) -> str:
    """Return the folder of the files of this product."""
    return f"images/{image.name}/{_arch(image)}/"


def key(image: Image) -> str:
    """Return the name of the product."""
    return streams.product(image.name, _arch(image))


def _arch(image: Image) -> str:
    return ARCHITECTURES[image.system.architecture]


def plan(
    image: Image,
    before: Document,
    index_before: Document,
    files: Collection[str],
    keep: int | None,
    now: datetime.datetime,
) -> Plan:
    """Plan the publication of `image`.

    `files` are the paths of the complete files in its folder. `keep` is the number of versions that stay,
    the new one included; None keeps all.
    """
    there = streams.entries(before, key(image))
    entry = _entry(image, there, streams.next_version(before, key(image), now))
    document = streams.with_entry(before, key(image), _tags(image), entry)
    old = [one.version for one in streams.entries(document, key(image))]
    retired = tuple(old[:-keep] if keep else ())
    document = streams.without(document, key(image), retired)
    named = streams.paths(document)
    uploads = () if entry.path in files else (UploadImage(entry.path, entry.size),)
    gone = tuple(Remove(path) for path in sorted(set(files) - named))
    return Plan(
        (*uploads, *_writes(image, before, index_before, document, files, now), *gone), entry, retired
    )


def _writes(
    image: Image,
    before: Document,
    index_before: Document,
    document: dict[str, Any],
    files: Collection[str],
    now: datetime.datetime,
) -> tuple[Write, ...]:
    """The manifest, the document of the images, which makes the new version the latest, and the index.

    The index changes with the products only, so its readers always find the latest version.
    """
    manifest = manifest_of(image)
    path = _manifest_path(image, manifest)
    writes = [] if path in files else [Write(path, manifest, "the manifest of the image")]
    if document != before:
        document = streams.dated(document, now)
        writes.append(Write(streams.IMAGES, _json(document), "make it the latest version"))
    index = streams.index(index_before, document)
    known = index_before.get("index", {}).get(streams.CONTENT, {})
    if known.get("products") != index["index"][streams.CONTENT]["products"]:
        writes.append(Write(streams.INDEX, _json(index), "list the products"))
    return tuple(writes)


def _entry(image: Image, there: tuple[Entry, ...], new: str) -> Entry:
    """The version of this content: the latest as it is or with more proof, otherwise a new one."""
    manifest = manifest_of(image)
    entry = Entry(
        version=new,
        path=f"{folder(image)}{_stem(image)}{image.path.suffix}",
        size=image.size,
        sha256=image.sha256,
        id=image.id,
        made=image.made,
        proof=" ".join(image.levels),
        pubname=f"{image.name}-{image.id[:12]}",
        manifest=_manifest_path(image, manifest),
        manifest_sha256=hashlib.sha256(manifest).hexdigest(),
        manifest_size=len(manifest),
    )
    same = there and there[-1].sha256 == image.sha256
    return replace(entry, version=there[-1].version, path=there[-1].path) if same else entry


def _tags(image: Image) -> Tags:
    system = image.system
    return Tags(
        arch=_arch(image),
        os=system.os,
        version=system.version,
        release=system.release,
        release_title=system.version,
        kind=image.kind,
        base=image.base,
        family=system.family,
        login=system.login,
        firmware=" ".join(system.firmware),
    )


def manifest_of(image: Image) -> bytes:
    """Return the content of the manifest that is published."""
    return _json(files_of_description.public(image.manifest))


def _manifest_path(image: Image, manifest: bytes) -> str:
    """The path changes with the content, so that a reader of an older document finds what it names."""
    return f"{folder(image)}{_stem(image)}-{hashlib.sha256(manifest).hexdigest()[:12]}.json"


def _stem(image: Image) -> str:
    return f"{image.name}-{image.sha256[:12]}"


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"
