"""What an image consists of, as both SBOM formats have it: packages, the base, and files of our own."""

from __future__ import annotations

import datetime
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bakery import __version__
from bakery.description import packages
from bakery.description.packages import Installed, Package
from bakery.output.formats import FORMATS
from bakery.output.oci import layout

Kind = Literal["package", "base", "runtime"]
# Of the ids of documents (UUID version 5), so that the same image always has the same documents.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "worker-bakery.invalid")
_UDOCKER = re.compile(r'^__version__ = "([^"]+)"', re.MULTILINE)


@dataclass(frozen=True)
class Component:
    """A part of an image. `licenses` are names as the package has them; `purl` is a package URL.

    `origin` is the id of the repository that offers a package. Empty texts are unknown.
    """

    kind: Kind
    name: str
    version: str
    purl: str
    architecture: str = ""
    licenses: tuple[str, ...] = ()
    origin: str = ""
    supplier: str = ""
    source: str = ""
    digest: str = ""  # SHA-256


@dataclass(frozen=True)
class Image:
    """An image and what its manifest says. `name` is that of its file; `made` is an ISO date and time.

    `id` is that of the plan. `digest` is the SHA-256 of the file; of an OCI layout that of its image
    manifest, by which registries name it. `installed` is None if nothing is known.
    """

    name: str
    manifest: Mapping[str, Any]
    installed: Installed | None
    digest: str = ""

    @property
    def id(self) -> str:
        return str(self.manifest.get("id", ""))

    @property
    def version(self) -> str:
        """IMAGE_VERSION of os-release(5) in the image, otherwise the first digits of the id of its plan."""
        release = self.installed.release if self.installed else {}
        return release.get("IMAGE_VERSION") or self.id[:12]

    @property
    def is_container(self) -> bool:
        steps = self.manifest.get("plan", {}).get("steps", ())
        return any(step["role"] == "container" for step in steps)

    @property
    def format(self) -> str:
        """The name of the format, as --format has it; that of a disk is known by its suffix."""
        if self.is_container:
            return "oci"
        names = (one.name for one in FORMATS.values() if self.name.endswith(one.suffix))
        return next(names, "qcow2")

    @property
    def made(self) -> datetime.datetime:
        """In UTC; the start of the epoch if the manifest does not say."""
        text = self.manifest.get("made")
        found = (
            datetime.datetime.fromisoformat(text)
            if text
            else datetime.datetime.fromtimestamp(0, datetime.UTC)
        )
        return found.astimezone(datetime.UTC).replace(microsecond=0)

    def document_id(self, form: str) -> uuid.UUID:
        """The id of a document about the image: the same for the same image and version of this program."""
        return uuid.uuid5(_NAMESPACE, f"{form} {__version__} {self.name} {self.digest or self.id}")


def of_manifest(image: Path, manifest: Mapping[str, Any]) -> Image:
    """The image of this path with its manifest. Raises BadInput: a folder is not an OCI layout."""
    digest = layout.image_digest(image) if image.is_dir() else str(manifest.get("sha256", ""))
    return Image(image.name, manifest, packages.of_manifest(manifest), digest)


def components(image: Image) -> tuple[Component, ...]:
    """All components: the base, our own files, the packages by name."""
    return (*_own(image.manifest), *_packages(image))


def _packages(image: Image) -> Iterator[Component]:
    origins = packages.origins(image.manifest)
    if image.installed:
        for one in image.installed.packages:
            origin = origins.get((one.name, one.architecture, one.version), "")
            yield _of_package(one, image.installed, origin)


def _of_package(package: Package, installed: Installed, origin: str) -> Component:
    return Component(
        "package",
        package.name,
        package.version,
        purl(package, installed),
        package.architecture,
        package.licenses,
        origin,
        package.supplier,
        f"{package.source} {package.source_version}".strip(),
    )


def purl(package: Package, installed: Installed) -> str:
    """The package URL (purl-spec, types deb and rpm)."""
    from packageurl import PackageURL

    system = installed.release.get("ID", "")
    number = installed.release.get("VERSION_ID") or installed.release.get("VERSION_CODENAME", "")
    version, qualifiers = package.version, {"arch": package.architecture}
    if system and number:
        qualifiers["distro"] = f"{system}-{number}"
    if installed.system == "apt":
        return str(PackageURL("deb", system or "debian", package.name, version, qualifiers))
    epoch, colon, rest = version.partition(":")
    if colon:
        qualifiers, version = {**qualifiers, "epoch": epoch}, rest
    return str(PackageURL("rpm", system or None, package.name, version, qualifiers))


def _own(manifest: Mapping[str, Any]) -> Iterator[Component]:
    """The base, the worker runtime and udocker, which no package manager knows."""
    plan = manifest.get("plan")
    if not plan:
        return
    base, digest = str(plan["base"]), str(plan["base_id"])
    yield Component("base", base, digest[:12], _generic(base, digest[:12]), digest=digest)
    written = {action["put"]: action.get("text", "") for action in _puts(plan)}
    version = _runtime_version(written)
    name = "worker-bakery"
    yield Component("runtime", name, version, _generic(name, version), licenses=("Apache-2.0",))
    text = next(
        (text for path, text in written.items() if path.endswith("/udocker/udocker/__init__.py")), ""
    )
    if found := _UDOCKER.search(text):
        yield Component(
            "runtime", "udocker", found[1], f"pkg:pypi/udocker@{found[1]}", licenses=("Apache-2.0",)
        )


def _puts(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for step in plan["steps"]:
        yield from (action for action in step["actions"] if "put" in action)


def _runtime_version(written: Mapping[str, str]) -> str:
    import json

    text = written.get("/usr/lib/worker-bakery/image.json")
    return str(json.loads(text)["version"]) if text else __version__


def _generic(name: str, version: str) -> str:
    from packageurl import PackageURL

    return str(PackageURL("generic", None, name, version))
