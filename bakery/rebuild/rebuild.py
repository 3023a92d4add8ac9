"""Bake an image again from its manifest, and compare the bytes of the two."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bakery import __version__
from bakery.bake import build, reproducible
from bakery.bake.options import Options, apt_sources
from bakery.bake.planned import Bake
from bakery.engines import choice
from bakery.freshness import lock
from bakery.freshness.lock import Lock
from bakery.image import bases
from bakery.image.bases import Base, LocalImage
from bakery.imagediff import sandboxed
from bakery.imagediff.files import Difference
from bakery.output.formats import FORMATS
from bakery.rebuild import regions
from bakery.runtime import digest, qemu_img
from bakery.runtime.privileges import require_root
from bakery.store.store import (
    DISKS,
    Manifest,
    Store,
    image_manifest,
    read_manifest,
    work_folder,
    write_manifest,
)
from provisioner import plan as plans
from provisioner import source_date
from provisioner.errors import BadInput, BakeryError
from provisioner.events import Monitor, phase
from provisioner.plan import Plan

_BAKE_AGAIN = "Bake the image with this version, with the engine chroot."


@dataclass(frozen=True)
class Result:
    """Both digests (SHA-256, hexadecimal); what differs; the versions of the tools, then and now.

    Differences of packages and files are those of `worker-bakery diff`; if only times or positions differ,
    there are none, and `regions` says where on the disk.
    """

    sha256: str
    again: str
    tools_then: Mapping[str, str]
    tools_now: Mapping[str, str]
    differences: tuple[Difference, ...] = ()
    regions: tuple[str, ...] = ()

    @property
    def reproduced(self) -> bool:
        return self.sha256 == self.again

    def to_json(self) -> dict[str, Any]:
        return {
            "reproduced": self.reproduced,
            "sha256": self.sha256,
            "again": self.again,
            "tools": {"then": dict(self.tools_then), "now": dict(self.tools_now)},
            "differences": [found.to_json() for found in self.differences],
            "regions": list(self.regions),
        }


def rebuild(image: Path, options: Options, store: Store, monitor: Monitor) -> Result:
    """Bake `image` again; of `options`, those count that say where packages and the base come from.

    If the bytes are the same, this is recorded in the manifest of the image. Raises BadInput: there is no
    manifest, the image was changed, or its base is unknown; BakeryError: its bytes are not reproducible;
    and the errors of a bake.
    """
    require_root()
    with phase(monitor, "verify the image"):
        sha256 = digest.of(image)
        recorded = _recorded(image, sha256, store)
    manifest = _manifest(recorded)
    plan, tools = plans.from_json(manifest["plan"]), tools_of(manifest)
    this = _bake(recorded, plan, lock.of_manifest(manifest), options, store, monitor)
    with work_folder(store) as work:
        again, _, _ = build.make_image(this, choice.obstacles("chroot"), work)
        result = Result(sha256, digest.of(again), tools, reproducible.tools())
        if not result.reproduced:
            return _explained(result, image, again, work, store, monitor)
    _record(recorded, result)
    return result


def _recorded(image: Path, sha256: str, store: Store) -> Path:
    """The image with this digest that has a manifest: one of the store, else that of the user."""
    disks = sorted(path for path in (store.root / "images").glob("*") if path.suffix in DISKS)
    for disk in (*disks, image):
        if _manifest(disk).get("sha256") == sha256:
            return disk
    if _manifest(image):
        raise BadInput(f"{image} is not as it was baked: its SHA-256 differs from its manifest.")
    raise BadInput(
        f"{image} has no manifest.",
        "worker-bakery cache list shows the images of the cache, which have one.",
    )


def _manifest(image: Path) -> Manifest:
    """The manifest of an image, {} if there is none.

    Other formats are written from the image of the store.
    """
    found = image_manifest(image) if image.suffix in DISKS else None
    return found if found and "plan" in found else {}


def tools_of(manifest: Manifest) -> Mapping[str, str]:
    """The versions of the tools that made the image.

    Raises BakeryError: its bytes are not reproducible; BadInput: its source date was set, and is not now.
    """
    entry = manifest.get("reproducible")
    if entry is None:
        raise BakeryError("The image was baked by a version that writes other bytes.", _BAKE_AGAIN)
    if obstacle := entry.get("obstacle"):
        raise BakeryError(f"The image is not reproducible: {obstacle}.", _BAKE_AGAIN)
    if (now := reproducible.configured()) != (then := entry.get("configured", "")):
        what = f"{source_date.VARIABLE}={then}" if then else f"no {source_date.VARIABLE}"
        raise BadInput(
            f"The image was baked with {what} in the environment; now it is {now or 'not set'}.",
            "Set or unset the variable, and run the same command again.",
        )
    tools: Mapping[str, str] = entry["tools"]
    return tools


def _bake(
    image: Path, plan: Plan, known: Lock | None, options: Options, store: Store, monitor: Monitor
) -> Bake:
    """The bake of this plan, with the package versions of the lock and without checkpoints."""
    ids = frozenset(step.id for step in plan.steps)
    form = next(form for form in FORMATS.values() if form.suffix == image.suffix)
    only = replace(
        options, format=form.name, level="none", engine="chroot", checkpoints="none", refresh="never"
    )
    hidden = replace(store, ignored=ids)
    this = Bake(only, _base(plan, options, store), plan, hidden, monitor, apt_sources(options))
    return replace(this, pins=pins(known) if known else "")


def _base(plan: Plan, options: Options, store: Store) -> Base:
    """The base of the plan: the one of this name, or the disk in the store. Raises BadInput."""
    try:
        base = bases.find(plan.base, options.architecture)
    except BadInput:
        base = None
    if base and base.id == plan.base_id:
        return base
    disk = store.base(plan.base_id)
    if base is None or not disk.exists():
        raise BadInput(
            f"The base {plan.base} with the id {plan.base_id[:12]} is not in the cache, "
            "and this version cannot make it.",
            "Use the version of worker-bakery that baked the image, or its cache.",
        )
    return replace(base, source=LocalImage(disk, plan.base_id))


def pins(known: Lock) -> str:
    """apt_preferences(5) that choose the versions of the lock; "" for rpm, whose plans contain them."""
    if known.system != "apt":
        return ""
    rows = {(package.name, package.version) for package in known.packages}
    return "\n".join(
        f"Package: {name}\nPin: version {version}\nPin-Priority: 1001\n" for name, version in sorted(rows)
    )


def _explained(
    result: Result, image: Path, again: Path, work: Path, store: Store, monitor: Monitor
) -> Result:
    found: Sequence[Difference] = ()
    where: Sequence[str] = ()
    if image.suffix == ".qcow2":
        found = sandboxed.compare(image, again, store, monitor).differences
        disks = work / "a.raw", work / "b.raw"
        with phase(monitor, "compare the disks"):
            for source, disk in zip((image, again), disks, strict=True):
                qemu_img.to_raw(source, disk)
            where = regions.differing(*disks)
    return replace(result, differences=tuple(found), regions=tuple(where))


def _record(image: Path, result: Result) -> None:
    """Add to the manifest beside an image when and with what it was reproduced."""
    manifest = read_manifest(image) if image.suffix in DISKS else None
    if manifest is None:
        return  # it is in the files of a description, whose checksums may be signed
    entry = {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "sha256": result.sha256,
        "version": __version__,
        "tools": dict(result.tools_now),
    }
    write_manifest(image, {**manifest, "reproduced": entry})
