"""The metadata of an rpm repository: repomd.xml, primary.xml and updateinfo.xml of createrepo_c.

The packages are signed, not the metadata (yum.conf(5): repo_gpgcheck is off by default): metadata can
hide an update, but a bake installs only signed packages.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any
from xml.etree import ElementTree

from bakery.freshness.lock import Index, Repository, Seen
from bakery.freshness.metadata.offers import Head, Offer
from bakery.sources.http import Get
from provisioner.errors import Unreachable, WrongChecksum

_REPO = "{http://linux.duke.edu/metadata/repo}"
_COMMON = "{http://linux.duke.edu/metadata/common}"
_WANTED = {"primary": "packages", "updateinfo": "updateinfo"}


def ask(repository: Repository, url: str, seen: Seen | None, get: Get) -> Head:
    """Ask for repomd.xml; one conditional request if it did not change.

    Raises Unreachable, WrongChecksum.
    """
    if seen and seen.base and url == repository.mirror_list:
        with suppress(Unreachable):  # the mirror that was used last may be gone; the list names others
            return _ask(seen.base, seen, get)
    return _ask(_base(repository, url, get), seen, get)


def _ask(base: str, seen: Seen | None, get: Get) -> Head:
    known = seen or Seen("")
    answer = get(f"{base}/repodata/repomd.xml", known.etag, known.modified)
    if answer.status == 404:
        raise Unreachable(f"{base} has no repodata/repomd.xml.")
    digest = hashlib.sha256(answer.body).hexdigest()
    if seen and (answer.status == 304 or digest == seen.digest):
        return Head(replace(seen, base=base), changed=False)
    found = Seen(digest, answer.etag, answer.modified, tuple(indexes(answer.body, base)), base)
    return Head(found, changed=seen is None or seen.indexes != found.indexes)


def _base(repository: Repository, url: str, get: Get) -> str:
    """The URL of the repository: that of the first mirror if the repository has a list of mirrors."""
    if not repository.mirror_list or url != repository.mirror_list:
        return url
    answer = get(url)
    text = answer.body.decode("utf-8", "replace")
    urls = [row.strip() for row in text.splitlines() if row.strip().startswith("http")]
    if "<metalink" in text:
        root = _parsed(answer.body, url)
        found = (element.text or "" for element in root.iter() if element.tag.endswith("}url"))
        urls = [one.removesuffix("repodata/repomd.xml") for one in found if one.startswith("http")]
    if not urls:
        raise Unreachable(f"The mirror list {url} names no mirror.")
    return urls[0].rstrip("/")


def indexes(repomd: bytes, base: str) -> Iterator[Index]:
    """The lists in repomd.xml that are read. Raises WrongChecksum for another file."""
    for data in _parsed(repomd, base).iter(f"{_REPO}data"):
        what, checksum = data.get("type", ""), data.find(f"{_REPO}checksum")
        location = data.find(f"{_REPO}location")
        if what in _WANTED and checksum is not None and location is not None:
            algorithm = checksum.get("type", "sha256")
            prefix = "" if algorithm == "sha256" else f"{algorithm}:"
            yield Index(location.get("href", ""), f"{prefix}{(checksum.text or '').strip()}", _WANTED[what])


def _parsed(content: bytes, where: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(_without_entities(content, where))
    except ElementTree.ParseError as error:
        raise WrongChecksum(f"The metadata of {where} is not valid XML: {error}.") from None


def _without_entities(content: bytes, where: str) -> bytes:
    """Metadata declares no entities; those of an attacker could expand to gigabytes."""
    if b"<!ENTITY" in content or b"<!DOCTYPE" in content:
        raise WrongChecksum(f"The metadata of {where} declares XML entities.")
    return content


def offers(primary: bytes, names: Collection[str], exclude: Collection[str] = ()) -> Iterator[Offer]:
    """The versions of these packages in primary.xml, without those that the repository excludes."""
    for element in _elements(primary, f"{_COMMON}package"):
        name = element.findtext(f"{_COMMON}name", "")
        version = element.find(f"{_COMMON}version")
        excluded = any(fnmatchcase(name, pattern) for pattern in exclude)
        if name in names and version is not None and not excluded:
            yield Offer(name, element.findtext(f"{_COMMON}arch", ""), _evr(version.attrib))
        element.clear()


def security_updates(updateinfo: bytes) -> frozenset[tuple[str, str, str]]:
    """Name, architecture and version of the packages of advisories with the type security."""
    return frozenset(
        (
            package.get("name", ""),
            package.get("arch", ""),
            _evr(package.attrib, "epoch", "version", "release"),
        )
        for update in _elements(updateinfo, "update")
        if update.get("type") == "security"
        for package in update.iter("package")
    )


def _elements(content: bytes, tag: str) -> Iterator[ElementTree.Element]:
    try:
        for _, element in ElementTree.iterparse(io.BytesIO(_without_entities(content, "a repository"))):
            if element.tag == tag:
                yield element
    except ElementTree.ParseError as error:
        raise WrongChecksum(f"A package list is not valid XML: {error}.") from None


def _evr(fields: Any, epoch: str = "epoch", version: str = "ver", release: str = "rel") -> str:
    number = fields.get(epoch) or "0"
    text = f"{fields.get(version, '')}-{fields.get(release, '')}"
    return text if number == "0" else f"{number}:{text}"
