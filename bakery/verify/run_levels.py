"""Run the requested verification levels in the sandbox, with the image mounted once.

Without a level, only the search for secrets runs: no bake commits an image without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bakery.output.oci.root import is_archive, open_archive
from bakery.runtime import qemu_img
from bakery.verify import booted, image_tests, site_tests
from bakery.verify.level import LevelContext, run_site_tests
from bakery.verify.record import Record
from bakery.verify.secrets import scan
from bakery.verify.verification import Proof, Request
from provisioner.disk.file_systems import mount_root
from provisioner.errors import BadInput
from provisioner.events import Monitor, phase, warn


def verify_image(request: Request, work: Path, monitor: Monitor) -> Proof:
    """Verify an image to the requested levels and return its proof.

    Without a level, an image that cannot be mounted is not searched, with a warning.

    Raises BadInput: it is not an image, or cannot boot; NotProven: a check failed.
    """
    if not request.image.is_file():
        raise BadInput(f"{request.image} is not a file.")
    if is_archive(request.image) and set(request.levels) - {"offline"}:
        raise BadInput("A container image cannot be booted.", "Verify it with --level offline.")
    try:
        with phase(monitor, "open the image"):
            root, raw = _open(request, work)
    except BadInput as error:
        if request.levels:
            raise
        warn(monitor, f"The image was not searched for secrets: {error.message}")
        return {}
    folder = site_tests.copy(request.tests, work) if request.tests else None
    context = LevelContext(request, root, work, monitor, folder)
    proof: Proof = {}
    if not request.levels:
        _search_secrets(context, raw, Record("none", monitor))
    if "offline" in request.levels:
        proof["offline"] = _verify_offline_level(context, raw)
    if set(request.levels) & {"boot", "pool", "clone"}:
        proof.update(booted.verify(context))
    return {level: {**entry, **_tests_of_site(request)} for level, entry in proof.items()}


def _tests_of_site(request: Request) -> dict[str, Any]:
    return {"tests": site_tests.digests(request.tests)} if request.tests else {}


def _open(request: Request, work: Path) -> tuple[Path, Path]:
    """Return the root directory of the image, and the file with its raw bytes."""
    disk, root = work / "verify.raw", work / "image-root"
    if not request.raw and is_archive(request.image):
        open_archive(request.image, work, root)
        return root, request.image
    if request.raw:
        disk = request.image
    else:
        qemu_img.to_raw(request.image, disk)
    root.mkdir()
    mount_root(disk, root, read_only=True)
    return root, disk


def _search_secrets(context: LevelContext, raw: Path, record: Record) -> None:
    """Raises NotProven: there is a secret in a file, or in bytes that no file has."""
    with record.check("no secret"):
        result = scan.scan(context.root, raw)
        result.check()
    record.checks[-1]["what"] += f" in {result}"


def _verify_offline_level(context: LevelContext, raw: Path) -> dict[str, Any]:
    """Search and test the files; whoever has to mend the image learns of all failures at once."""
    record = Record("offline", context.monitor)
    record.together(
        lambda: _search_secrets(context, raw, record),
        lambda: _run_image_tests(context, record),
        lambda: run_site_tests(context, "offline", image_tests.mounted_host(context.root), record),
    )
    return record.proof()


def _run_image_tests(context: LevelContext, record: Record) -> None:
    with record.check("image tests on the mounted root"):
        container = is_archive(context.request.image)
        result = image_tests.run_offline(context.root, context.work, context.monitor, container=container)
    record.add_test_counts(result)
