"""An image of a catalogue for a cloud: found by its reference, and downloaded.

A reference is as in bakery.catalogue.base. NAME may be missing if the catalogue has one image of the kind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from bakery.catalogue import base, streams
from bakery.catalogue.base import Reference
from bakery.catalogue.streams import Document, Entry
from bakery.image import bases
from bakery.runtime import digest
from bakery.store.locks import lock_file, shared_lock
from bakery.store.store import Store, work_folder
from provisioner.errors import BadInput, Unreachable, WrongChecksum
from provisioner.events import Monitor, note, phase

_DIGEST = 64  # hexadecimal digits of a SHA-256


@dataclass(frozen=True)
class Published:
    """A version of an image. `url` is the root of its catalogue, `kind` that of its workers."""

    url: str
    name: str
    kind: str
    entry: Entry

    @property
    def sha256(self) -> str:
        return self.entry.sha256

    @property
    def title(self) -> str:
        """The name that this content has in a cloud, as in `osg-debian13-54cedd6f75a5`."""
        return self.entry.pubname or f"{self.name}-{self.sha256[:12]}"

    def __str__(self) -> str:
        return f"{self.url}#{self.name}@{self.entry.version}"


def find(text: str, kind: str) -> Published:
    """Return the image of a reference, for this machine's architecture or the only one that there is.

    Raises BadInput: there is none, or it is for other workers; Unreachable.
    """
    wanted = base.parse(text if "#" in text else f"{text}#?", "--catalogue")
    document = base.images(wanted.url)
    if "#" not in text:
        wanted = Reference(wanted.url, _only(document, wanted.url, kind))
    key = _product(document, wanted)
    found = Published(wanted.url, wanted.name, streams.tags(document, key).kind,
                      base.entry_of(document, key, wanted))  # fmt: skip
    if found.kind != kind:
        what = f"for {found.kind} workers" if found.kind else "no image of worker-bakery"
        raise BadInput(f"{found} is {what}, not for {kind} workers.", "Choose another image.")
    if not f"{found}{found.title}".isprintable():
        raise BadInput("The image has a name in the catalogue that cannot be printed.", "Publish it again.")
    if len(found.sha256) != _DIGEST or not found.entry.manifest:
        raise BadInput(f"{found} has no SHA-256 or no manifest in the catalogue.", "Publish it again.")
    return found


def _only(document: Document, url: str, kind: str) -> str:
    """The name of the only image of this kind. Raises BadInput: there are none or several."""
    names = sorted(
        name
        for name, archs in streams.names(document).items()
        if any(streams.tags(document, streams.product(name, arch)).kind == kind for arch in archs)
    )
    if len(names) == 1:
        return names[0]
    if not names:
        raise BadInput(f"The catalogue {url} has no image for {kind} workers.")
    raise BadInput(
        f"The catalogue {url} has several images for {kind} workers: {', '.join(names)}.",
        f"Name one: --catalogue {url.rstrip('/')}#{names[0]}.",
    )


def _product(document: Document, wanted: Reference) -> str:
    """The key of the product: of the only architecture, otherwise of that of this machine."""
    archs = streams.names(document).get(wanted.name, ())
    machines = {arch: machine for machine, arch in streams.ARCHITECTURES.items()}
    machine = machines.get(archs[0], archs[0]) if len(archs) == 1 else bases.host()
    return base.product_of(document, wanted, machine)


def manifest(published: Published) -> Mapping[str, Any]:
    """Return the manifest of the image. Raises Unreachable; WrongChecksum: it is another one."""
    url = urljoin(published.url, published.entry.manifest)
    content = base.content(url)
    found = hashlib.sha256(content).hexdigest()
    if found != published.entry.manifest_sha256:
        raise WrongChecksum(
            f"{url} has the sha256 {found}, expected {published.entry.manifest_sha256}.",
            "The catalogue has just changed, or is damaged: try again, or publish the image again.",
        )
    about: Mapping[str, Any] = json.loads(content)
    return about


@contextmanager
def obtained(published: Published, store: Store, monitor: Monitor) -> Iterator[Path]:
    """Yield the path of the image with its digest compared. A download that was interrupted goes on.

    Raises Unreachable, WrongChecksum, DiskFull.
    """
    url = urljoin(published.url, published.entry.path)
    if urlsplit(url).scheme == "file":
        yield _local(Path(unquote(urlsplit(url).path)), published, monitor)
        return
    with work_folder(store) as work:
        image = work / "image.qcow2"
        _download(url, published, image, store, monitor)
        yield image


def _download(url: str, published: Published, image: Path, store: Store, monitor: Monitor) -> None:
    """Download to `image`; another process that downloads the same is waited for."""
    from bakery.sources import download

    part = store.download(f"catalogue-{published.sha256}")
    part.parent.mkdir(parents=True, exist_ok=True)
    with lock_file(store.lock(part.stem), lambda: note(monitor, "Waiting for another download of it.")):
        part.touch()
        # The lock keeps it from being pruned.
        with shared_lock(part), phase(monitor, f"download {url}"):
            download.fetch(download.PinnedFile((url,), published.sha256), part, monitor)
            part.with_suffix(".json").unlink(missing_ok=True)
            part.rename(image)


def _local(path: Path, published: Published, monitor: Monitor) -> Path:
    if not path.is_file():
        raise Unreachable(f"Cannot read {path}: no such file.", "Publish the image again.")
    with phase(monitor, "read the image"):
        found = digest.of(path)
    if found != published.sha256:
        raise WrongChecksum(
            f"{path} has the sha256 {found}, expected {published.sha256}.", "Publish the image again."
        )
    return path
