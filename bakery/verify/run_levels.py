"""Inside the sandbox: one mount, and everything the asked rungs want seen of the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bakery.output.oci.root import is_archive, open_archive
from bakery.runtime import qemu_img
from bakery.verify import booted, image_tests
from bakery.verify.level import Setting
from bakery.verify.record import Record
from bakery.verify.verification import Proof, Request
from provisioner.disk.file_systems import mount_root
from provisioner.errors import BadInput
from provisioner.events import Monitor, phase


def climb(request: Request, work: Path, monitor: Monitor) -> Proof:
    """Raises NotProven where a rung does not hold."""
    if not request.image.is_file():
        raise BadInput(f"{request.image} is no file.")
    if is_archive(request.image) and set(request.levels) - {"offline"}:
        raise BadInput("A container image does not boot.", "Verify it with --level offline.")
    with phase(monitor, "open the image"):
        root = _open(request.image, work)
    setting = Setting(request, root, work, monitor)
    proof: Proof = {}
    if "offline" in request.levels:
        proof["offline"] = _offline(setting)
    if "boot" in request.levels or "pool" in request.levels:
        proof.update(booted.climb(setting))
    return proof


def _open(image: Path, work: Path) -> Path:
    disk, root = work / "verify.raw", work / "image-root"
    if is_archive(image):
        open_archive(image, work, root)
        return root
    qemu_img.to_raw(image, disk)
    root.mkdir()
    mount_root(disk, root, read_only=True)
    return root


def _offline(setting: Setting) -> dict[str, Any]:
    record = Record(setting.monitor)
    with record.check("image tests on the mounted root"):
        container = is_archive(setting.request.image)
        result = image_tests.on_root(setting.root, setting.work, setting.monitor, container=container)
    record.count(result)
    return record.proof()
