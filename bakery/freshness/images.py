"""`outdated`: the images to ask about, and the packages of an image that has no manifest."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.freshness import inventory, lock, record
from bakery.freshness.lock import Lock
from bakery.freshness.metadata.addresses import Addresses
from bakery.freshness.metadata.definitions import Sources
from bakery.imagediff import records, rpmdb
from bakery.imagediff.tree import Folder
from bakery.runtime import mirror, qemu_img, sandbox
from bakery.runtime.privileges import require_root
from bakery.store.store import DISKS, Store, image_manifest, read_manifest, work_folder
from provisioner import named_file
from provisioner.disk.file_systems import mount_root
from provisioner.errors import BadInput, CommandFailed
from provisioner.events import Monitor
from provisioner.packages.repositories import YUM
from provisioner.process import run

TOOLS = ("qemu-img", "unshare", "setpriv", "mount", "sfdisk", "blkid")
_APT = b"/etc/apt/sources.list.d"
_KEYRINGS = (b"/usr/share/keyrings", b"/etc/apt/keyrings", b"/etc/apt/trusted.gpg.d")
_RPM = (YUM.encode(), b"/etc/dnf/vars", b"/etc/yum/vars")


@dataclass(frozen=True)
class Image:
    """An image with its manifest, {} if it has none. `lock` is None if its packages are unknown."""

    disk: Path
    manifest: Mapping[str, Any]
    lock: Lock | None


def of_store(store: Store) -> list[Image]:
    """All images of the store."""
    disks = sorted(path for path in (store.root / "images").glob("*") if path.suffix in DISKS)
    found = ((disk, read_manifest(disk)) for disk in disks)
    return [Image(disk, manifest, lock.of_manifest(manifest)) for disk, manifest in found if manifest]


def named(name: str, store: Store, addresses: Addresses, monitor: Monitor) -> Image:
    """An image by its path, or by its name in the store.

    Without a lock in a manifest beside it, its package database is read. Raises BadInput, MissingHere.
    """
    path = path_of(name, store)
    manifest = (image_manifest(path) if path.suffix in DISKS else None) or {}
    known = lock.of_manifest(manifest)
    if known is None and path.suffix != ".tar":
        known = _read(path, store, addresses, monitor)
    return Image(path, manifest, known)


def path_of(name: str, store: Store) -> Path:
    """The image of this path, or of this name in the store. Raises BadInput."""
    candidates = [Path(name), *(store.root / "images" / f"{name}{suffix}" for suffix in DISKS)]
    found = next((path for path in candidates if path.exists()), None)
    if found is None:
        raise BadInput(
            f"There is no image {name}.", "worker-bakery cache list shows the images of the cache."
        )
    named_file.refuse_waiting(found)
    return found.resolve()


def _read(path: Path, store: Store, addresses: Addresses, monitor: Monitor) -> Lock:
    """Raises BadInput: the path is not that of an image."""
    found = inventory.parse(rows_of(path, store, monitor))
    if found is None:
        message = f"{path} has no package database of dpkg or rpm."
        raise BadInput(message, "Give the path of an image, or of the root directory of one.")
    release = found.release.get("VERSION_CODENAME", "")
    is_debian = found.system == "apt" and found.release.get("ID") == "debian"
    sources = mirror.find(addresses.distribution).sources(release) if is_debian else ""
    return record.of_rows(found, Sources(sources, "", release, urls=addresses.urls))


def rows_of(path: Path, store: Store, monitor: Monitor) -> list[str]:
    """The rows of an image, which is mounted in a sandbox, or of a root directory.

    Raises BadInput, MissingHere.
    """
    if path.is_dir():
        return list(rows(path))
    require_root()
    run.require(*TOOLS)
    with work_folder(store) as work:
        command = [sys.executable, "-P", "-m", "bakery.freshness", str(path), str(work)]
        return list(sandbox.run_module(command, b"", monitor)["rows"])


def mounted_rows(image: Path, work: Path) -> list[str]:
    """The rows of an image, which this process mounts; it is in a sandbox. Raises BadInput."""
    disk, root = work / "disk.raw", work / "root"
    root.mkdir()
    try:
        qemu_img.to_raw(image, disk)
        mount_root(disk, root, read_only=True)
    except (CommandFailed, BadInput) as error:  # BadInput: no partition table, no file system
        raise BadInput(f"Cannot mount {image}. {error}") from None
    disk.unlink()  # it disappears with the sandbox
    return list(rows(root))


def rows(root: Path) -> Iterator[str]:
    """What provisioner/installed.py would report of a root directory, read from its files."""
    tree = Folder(root)
    release = tree.read(b"/usr/lib/os-release") or tree.read(b"/etc/os-release") or b""
    yield from (f"O\t{row}" for row in release.decode("utf-8", "replace").splitlines())
    found = records.packages(tree)
    is_apt = any("status" in fields for fields in found.values())
    yield f"S\t{'apt' if is_apt else 'rpm'}"
    yield f"A\t{_architecture(found)}"
    for name, fields in found.items():
        if is_apt and fields.get("status", "").endswith(" ok installed"):
            package, _, architecture = name.rpartition(":")
            yield f"P\t{package}\t{architecture}\t{fields['version']}"
        elif not is_apt:
            package, _, architecture = name.rpartition(".")
            yield from (f"P\t{package}\t{architecture}\t{one}" for one in fields["version"].split())
    yield from _dpkg_facts(tree) if is_apt else rpmdb.facts(tree)
    for folder in (_APT,) if is_apt else _RPM:
        for path, content in _files(tree, folder):
            yield from (f"F\t{path}\t{row}" for row in content.decode("utf-8", "replace").splitlines())
    for folder in _KEYRINGS if is_apt else ():
        for path, content in _files(tree, folder):
            yield f"K\t{path}\t{base64.b64encode(content).decode('ascii')}"


def _dpkg_facts(tree: Folder) -> Iterator[str]:
    """The rows M and L of dpkg's packages."""
    documents = tree.children(b"/usr/share/doc")
    for fields in records.dpkg_paragraphs(tree):
        if not fields.get("Status", "").endswith(" ok installed"):
            continue
        name, version = fields["Package"], fields.get("Version", "")
        source, _, given = fields.get("Source", name).partition(" ")
        about = (
            given.strip("()") or version,
            fields.get("Installed-Size", ""),
            fields.get("Maintainer", ""),
        )
        yield "\t".join(("M", name, fields.get("Architecture", ""), version, source, *about))
        node = documents.get(name.encode())
        folder = node.target if node and node.kind == "link" and b"/" not in node.target else name.encode()
        text = tree.read(b"/usr/share/doc/" + folder + b"/copyright") or b""
        if text.startswith(b"Format"):
            stated = {
                row for row in text.decode("utf-8", "replace").split("\n") if row.startswith("License:")
            }
            yield from (f"L\t{name}\t{row}" for row in sorted(stated))


def _architecture(found: Mapping[str, Mapping[str, str]]) -> str:
    """The architecture of most packages, apart from those that run on all."""
    names = [name.replace(":", ".").rpartition(".")[2] for name in found]
    plain = [name for name in names if name not in ("all", "noarch", "")]
    return max(set(plain), key=plain.count, default="")


def _files(tree: Folder, folder: bytes) -> Iterator[tuple[str, bytes]]:
    """The files in a folder; a link to another file of the folder is followed."""
    for name, node in sorted(tree.children(folder).items()):
        target = node.target if node.kind == "link" and b"/" not in node.target else name
        content = tree.read(folder + b"/" + target)
        if content is not None:
            yield f"{folder.decode()}/{name.decode('utf-8', 'replace')}", content
