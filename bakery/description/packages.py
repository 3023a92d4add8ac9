"""The packages of an image with source, size and licenses: the entry `installed` of its manifest.

provisioner/installed.py reports them at the end of a bake. The lock has the repositories that offer them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bakery.freshness import inventory
from bakery.freshness.lock import System

# Of os-release(5), as far as a description needs them.
_RELEASE = (
    *("ID", "VERSION_ID", "VERSION_CODENAME", "PRETTY_NAME", "CPE_NAME"),
    *("IMAGE_ID", "IMAGE_VERSION"),
)


@dataclass(frozen=True, order=True)
class Package:
    """An installed package: `version` as dpkg has it, or [EPOCH:]VERSION-RELEASE of rpm.

    `size` is in bytes, 0 if unknown. `licenses` are the names that the package uses, each once. `supplier`
    is the maintainer (Debian) or the vendor (rpm). Empty texts are unknown.
    """

    name: str
    architecture: str
    version: str
    source: str = ""
    source_version: str = ""
    size: int = 0
    supplier: str = ""
    licenses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Installed:
    """All packages of an image, sorted. `release` are variables of os-release(5)."""

    system: System
    release: Mapping[str, str]
    packages: tuple[Package, ...]


def of_rows(rows: Iterable[str]) -> Installed | None:
    """Parse the rows of provisioner/installed.py; None without a package system."""
    rows = list(rows)
    found = inventory.parse(rows)
    if found is None:
        return None
    facts, licenses = _facts(rows), _licenses(rows)
    packages = [
        _package((one.name, one.architecture, one.version), found.system, facts, licenses)
        for one in found.packages
    ]
    release = {name: found.release[name] for name in _RELEASE if found.release.get(name)}
    return Installed(found.system, release, tuple(sorted(packages)))


_Key = tuple[str, str, str]


def _facts(rows: Iterable[str]) -> dict[_Key, list[str]]:
    found: dict[_Key, list[str]] = {}
    for row in rows:
        kind, *fields = row.split("\t", 7)
        if kind == "M" and len(fields) == 7:
            found[fields[0], fields[1], fields[2]] = fields[3:]
    return found


def _licenses(rows: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        kind, _, rest = row.partition("\t")
        name, tab, text = rest.partition("\t")
        stated = " ".join(text.removeprefix("License:").split())
        if kind == "L" and tab and stated not in ("", "(none)"):
            found.setdefault(name, {})[stated] = None
    return {name: tuple(sorted(stated)) for name, stated in found.items()}


def _package(
    key: _Key, system: System, facts: Mapping[_Key, list[str]], licenses: Mapping[str, tuple[str, ...]]
) -> Package:
    source, source_version, size, supplier = facts.get(key, ["", "", "", ""])
    unit = 1024 if system == "apt" else 1
    if system == "rpm":
        source, source_version = _rpm_source(source, key[2])
    return Package(
        *key,
        source,
        source_version,
        int(size) * unit if size.isdecimal() else 0,
        "" if supplier == "(none)" else supplier,
        licenses.get(key[0], ()),
    )


def _rpm_source(file: str, version: str) -> tuple[str, str]:
    """Name and version of NAME-VERSION-RELEASE.src.rpm, which has the epoch of the package."""
    name, *parts = file.removesuffix(".src.rpm").removesuffix(".nosrc.rpm").rsplit("-", 2)
    if len(parts) != 2:
        return "", ""
    epoch, colon, _ = version.partition(":")
    return name, f"{epoch}{colon}{'-'.join(parts)}" if colon else "-".join(parts)


# --- the manifest ------------------------------------------------------------------------------


def to_json(installed: Installed) -> dict[str, Any]:
    """For a manifest: packages are rows of the fields of Package."""
    rows = [
        [
            p.name,
            p.architecture,
            p.version,
            p.source,
            p.source_version,
            p.size,
            p.supplier,
            list(p.licenses),
        ]
        for p in installed.packages
    ]
    return {"system": installed.system, "release": dict(installed.release), "packages": rows}


def of_manifest(manifest: Mapping[str, Any]) -> Installed | None:
    """The packages of an image; of its lock if an earlier version baked it, None if it has none."""
    if found := manifest.get("installed"):
        packages = tuple(
            replace(Package(*fields), licenses=tuple(names)) for *fields, names in found["packages"]
        )
        return Installed(found["system"], found["release"], packages)
    if not (lock := manifest.get("lock")):
        return None
    packages = tuple(sorted(Package(*row[:3]) for row in lock["packages"]))
    return Installed(lock["system"], {}, packages)


def gap(manifest: Mapping[str, Any]) -> str:
    """What an SBOM of this manifest lacks and why, as a sentence; "" if it has packages with licenses."""
    found = of_manifest(manifest)
    if found and any(one.licenses for one in found.packages):
        return ""
    what = "states no licenses" if found else "has no packages"
    return (
        f"The SBOM of the image {what}: an earlier version of worker-bakery baked it, and did not record "
        "them. Bake it again with --rebuild-base; of a disk, describe --write as root reads them from it."
    )


def origins(manifest: Mapping[str, Any]) -> dict[_Key, str]:
    """The ids of the repositories that offer the packages, as the lock has them."""
    rows = manifest.get("lock", {}).get("packages", ())
    return {(row[0], row[1], row[2]): row[3] for row in rows if len(row) > 3 and row[3]}
