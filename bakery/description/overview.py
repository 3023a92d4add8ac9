"""What a description says, in short: data for --json, and lines for people."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bakery.description import packages, signature
from bakery.description.packages import Installed
from bakery.description.read import Found
from bakery.freshness.age import age
from bakery.store.store import DESCRIPTION, description_path

_BIGGEST = 5
_MIB = 2**20
_SYSTEMS = {"apt": "dpkg", "rpm": "rpm"}


def data(found: Found) -> dict[str, Any]:
    """The overview as plain data; sizes in bytes."""
    manifest, installed = found.manifest, packages.of_manifest(found.manifest)
    keys = ("id", "kind", "base", "made", "version", "engine", "size", "sha256")
    return {
        "image": found.path.name,
        "path": str(found.path),
        **{key: manifest.get(key) for key in keys},
        "image_id": installed.release.get("IMAGE_ID") if installed else None,
        "image_version": installed.release.get("IMAGE_VERSION") if installed else None,
        "system": installed.release.get("PRETTY_NAME") if installed else None,
        "packages": _packages(installed, manifest) if installed else None,
        "proof": manifest.get("proof", {}),
        "files": [path.name for path in beside(found.path)],
        "signature": _signature(found.path),
    }


def _signature(image: Path) -> dict[str, str] | None:
    """Who has signed the description, according to the signature, which is not checked here."""
    path = description_path(image, signature.MINISIG)
    if not path.is_file():
        return None
    from bakery.description.minisign_keys import shown_id, signer

    found = signature.read(path)
    return {"key": shown_id(signer(found)[0]), "comment": found.trusted_comment} if found else {}


def _packages(installed: Installed, manifest: Mapping[str, Any]) -> dict[str, Any]:
    biggest = sorted(installed.packages, key=lambda one: (-one.size, one.name))[:_BIGGEST]
    offered = Counter(packages.origins(manifest).values())
    return {
        "system": _SYSTEMS[installed.system],
        "count": len(installed.packages),
        "size": sum(one.size for one in installed.packages),
        "licensed": sum(1 for one in installed.packages if one.licenses),
        "biggest": [{"name": one.name, "version": one.version, "size": one.size} for one in biggest],
        "repositories": dict(offered.most_common()),
    }


def beside(image: Path) -> list[Path]:
    """The files of the description that are beside the image."""
    return [path for path in (description_path(image, one) for one in DESCRIPTION) if path.exists()]


# --- for people --------------------------------------------------------------------------------


def lines(about: Mapping[str, Any]) -> Iterator[str]:
    """The overview as lines of printable text, without the proof."""
    yield shown(about["image"])
    for name, value in _rows(about):
        yield f"  {name:<13} {shown(value)}"


def _rows(about: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if about["kind"]:
        yield "worker", f"{about['kind']} on {about['base']}"
    if about["image_id"]:
        yield "image", f"{about['image_id']} {about['image_version'] or ''}".rstrip()
    if about["system"]:
        yield "system", about["system"]
    if about["id"]:
        yield "plan", about["id"]
    if about["sha256"]:
        yield "sha256", about["sha256"]
    if about["size"]:
        yield "size", f"{about['size'] / _MIB:.0f} MiB"
    if about["made"]:
        by = f", by worker-bakery {about['version']}" if about["version"] else ""
        yield "baked", f"{age(about)} ({about['made']}){by}"
    yield from _package_rows(about["packages"]) if about["packages"] else [("packages", "unknown")]
    yield "signature", _signature_text(about["signature"])
    yield "beside it", ", ".join(about["files"]) or "no description; --write creates it"


def _signature_text(found: Mapping[str, str] | None) -> str:
    if found is None:
        return "none; worker-bakery sign creates one"
    by = f"by the key {found['key']}" if found else "unreadable"
    return f"{by}; worker-bakery verify --signature checks it"


def _package_rows(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    size = f", {found['size'] / _MIB:.0f} MiB installed" if found["size"] else ""
    yield (
        "packages",
        f"{found['count']} ({found['system']}){size}; {found['licensed']} state their licenses",
    )
    if found["size"]:
        yield (
            "biggest",
            ", ".join(
                f"{one['name']} {one['size'] / _MIB:.0f} MiB" for one in found["biggest"] if one["size"]
            ),
        )
    if found["repositories"]:
        yield (
            "repositories",
            ", ".join(f"{name} ({count})" for name, count in found["repositories"].items()),
        )


def shown(text: str) -> str:
    """Text of an image for a terminal: what is not printable is escaped, like \\x1b."""
    return re.sub(r"[^\x20-\x7e]", _escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else ascii(found[0])[1:-1]
