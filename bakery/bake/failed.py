"""The disk of a bake that failed: kept beside the image that was wanted, and how to look into it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bakery.engines.packer import disk_layers
from bakery.output.commit import place
from bakery.runtime import qemu_img
from provisioner.disk.file_systems import wait_unmounted
from provisioner.errors import BakeryError, Interrupted

_CREDENTIALS_INSIDE = (
    " (with root's authorized_keys and ssh host keys of the machine it inside in, good for nothing else)"
)
_RETRY_HINT = "When its cause is gone, the same command goes on from the last checkpoint."
# In a work folder, the finished one first.
_DISKS = ("image.qcow2", "image.tar", "disk.raw")


def disk_in(work: Path) -> Path | None:
    """The disk that a bake has come to, by either engine."""
    from bakery.engines.packer.build_files import FOLDER, Files

    layer = disk_layers.top(Files(work / FOLDER).disk)
    return next((disk for disk in (*(work / name for name in _DISKS), layer) if disk.exists()), None)


@contextmanager
def keep_disk_on_failure(find: Callable[[], Path | None], image: Path, *, wanted: bool) -> Iterator[None]:
    """If the block fails, keep the disk that is found then, or say that one can.

    `image` is where the image would have gone; beside it goes NAME.failed.qcow2, which boots as the
    image would.
    """
    try:
        yield
    except Interrupted:
        raise
    except BakeryError as error:
        disk = find()
        if disk:
            notice = (
                _keep(disk, image) if wanted else "To keep the disk and look into it, add --keep-failed."
            )
            error.hint = f"{error.hint or _RETRY_HINT} {notice}"
        raise


def _keep(disk: Path, image: Path) -> str:
    from bakery.engines.packer.build_files import FOLDER

    is_container = disk.suffix == ".tar"
    kept = image.with_name(f"{image.stem}.failed{'.tar' if is_container else '.qcow2'}")
    try:
        place(disk if is_container else _as_qcow2(disk), kept)
    except BakeryError as problem:
        return f"The disk could not be kept: {problem}"
    if is_container:
        return f"The container image was kept: {kept}"
    inside = _CREDENTIALS_INSIDE if disk.parent.name == FOLDER else ""
    return f"The disk was kept{inside}; a shell in it: bake-image shell {shlex.quote(str(kept))}"


def _as_qcow2(disk: Path) -> Path:
    """With all of it in one file; a finished image as it is."""
    converted = disk.with_name("failed.qcow2")
    if disk.suffix != ".qcow2":
        wait_unmounted(disk)
        qemu_img.to_qcow2(disk, converted)
    elif qemu_img.other_files(disk):
        qemu_img.to_qcow2(disk, converted, "qcow2")
    else:
        return disk
    return converted
