"""Run the requested verification levels in the sandbox, with the image mounted once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bakery.output.oci.root import is_archive, open_archive
from bakery.runtime import qemu_img
from bakery.verify import booted, image_tests, site_tests
from bakery.verify.level import LevelContext, run_site_tests
from bakery.verify.record import Record
from bakery.verify.verification import Proof, Request
from provisioner.disk.file_systems import mount_root
from provisioner.errors import BadInput
from provisioner.events import Monitor, phase


def verify_image(request: Request, work: Path, monitor: Monitor) -> Proof:
    """Verify an image to the requested levels and return its proof.

    Raises BadInput: it is not an image, or cannot boot; NotProven: a check failed.
    """
    if not request.image.is_file():
        raise BadInput(f"{request.image} is not a file.")
    if is_archive(request.image) and set(request.levels) - {"offline"}:
        raise BadInput("A container image cannot be booted.", "Verify it with --level offline.")
    with phase(monitor, "open the image"):
        root = _open(request.image, work)
    folder = site_tests.copy(request.tests, work) if request.tests else None
    context = LevelContext(request, root, work, monitor, folder)
    proof: Proof = {}
    if "offline" in request.levels:
        proof["offline"] = _verify_offline_level(context)
    if set(request.levels) & {"boot", "pool", "clone"}:
        proof.update(booted.verify(context))
    return {level: {**entry, **_tests_of_site(request)} for level, entry in proof.items()}


def _tests_of_site(request: Request) -> dict[str, Any]:
    return {"tests": site_tests.digests(request.tests)} if request.tests else {}


def _open(image: Path, work: Path) -> Path:
    disk, root = work / "verify.raw", work / "image-root"
    if is_archive(image):
        open_archive(image, work, root)
        return root
    qemu_img.to_raw(image, disk)
    root.mkdir()
    mount_root(disk, root, read_only=True)
    return root


def _verify_offline_level(context: LevelContext) -> dict[str, Any]:
    record = Record("offline", context.monitor)
    with record.check("image tests on the mounted root"):
        container = is_archive(context.request.image)
        result = image_tests.run_offline(context.root, context.work, context.monitor, container=container)
    record.add_test_counts(result)
    run_site_tests(context, "offline", image_tests.mounted_host(context.root), record)
    return record.proof()
