"""Keep the disk of a failed bake beside the requested image, and name the command that opens it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bakery.engines.packer import disk_layers
from bakery.output.commit import copy_into_place
from bakery.runtime import qemu_img
from provisioner.disk.file_systems import wait_unmounted
from provisioner.errors import BakeryError, Interrupted

_CREDENTIALS_INSIDE = " (it contains the temporary ssh keys of this bake)"
_RETRY_HINT = "After fixing the cause, run the same command again: it resumes from the last checkpoint."
# Files of a work folder, the most complete first.
_DISKS = ("image.qcow2", "image.tar", "disk.raw")


def disk_in(work: Path) -> Path | None:
    """The disk of an unfinished bake in its work folder, by either engine; None if there is none yet."""
    from bakery.engines.packer.build_files import FOLDER, Files

    layer = disk_layers.top(Files(work / FOLDER).disk)
    return next((disk for disk in (*(work / name for name in _DISKS), layer) if disk.exists()), None)


@contextmanager
def keep_disk_on_failure(find: Callable[[], Path | None], image: Path, *, wanted: bool) -> Iterator[None]:
    """If the block fails, keep the disk that `find` returns, or name the option that keeps it.

    `image` is the path of the requested image. The disk is written beside it as NAME.failed.qcow2
    (containers: NAME.failed.tar). With `wanted` false, only the hint of the error changes.
    """
    try:
        yield
    except Interrupted:
        raise
    except BakeryError as error:
        disk = find()
        if disk:
            notice = _keep(disk, image) if wanted else "Add --keep-failed to keep the disk for inspection."
            error.hint = f"{error.hint or _RETRY_HINT} {notice}"
        raise


def _keep(disk: Path, image: Path) -> str:
    from bakery.engines.packer.build_files import FOLDER

    is_container = disk.suffix == ".tar"
    kept = image.with_name(f"{image.stem}.failed{'.tar' if is_container else '.qcow2'}")
    try:
        copy_into_place(disk if is_container else _as_qcow2(disk), kept)
    except BakeryError as problem:
        return f"Could not keep the disk: {problem}"
    if is_container:
        return f"The container image was kept: {kept}"
    inside = _CREDENTIALS_INSIDE if disk.parent.name == FOLDER else ""
    return f"The disk was kept{inside}. To open a shell in it: worker-bakery shell {shlex.quote(str(kept))}"


def _as_qcow2(disk: Path) -> Path:
    """The disk as one qcow2 file without a backing file."""
    converted = disk.with_name("failed.qcow2")
    if disk.suffix != ".qcow2":
        wait_unmounted(disk)
        qemu_img.to_qcow2(disk, converted)
    elif qemu_img.other_files(disk):
        qemu_img.to_qcow2(disk, converted, "qcow2")
    else:
        return disk
    return converted
