"""The disk of a bake that failed: kept beside the image that was wanted, and how to look into it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bakery import qemu
from bakery.place import place
from provisioner.disk import wait_unmounted
from provisioner.errors import BakeryError, Interrupted

_AGAIN = "When its cause is gone, the same command goes on from the last checkpoint."
# In a work folder, the finished one first.
_DISKS = ("image.qcow2", "image.tar", "disk.raw")


def disks_in(work: Path) -> list[Path]:
    """Where the disk of a bake can be."""
    return [work / name for name in _DISKS]


@contextmanager
def keeping(disks: list[Path], image: Path, *, wanted: bool) -> Iterator[None]:
    """If the block fails, keep the first of the disks that exists, or say that one can.

    `image` is where the image would have gone; beside it goes NAME.failed.qcow2, which boots as the
    image would.
    """
    try:
        yield
    except Interrupted:
        raise
    except BakeryError as error:
        disk = next((disk for disk in disks if disk.exists()), None)
        if disk:
            said = _keep(disk, image) if wanted else "To keep the disk and look into it, add --keep-failed."
            error.hint = f"{error.hint or _AGAIN} {said}"
        raise


def _keep(disk: Path, image: Path) -> str:
    is_container = disk.suffix == ".tar"
    kept = image.with_name(f"{image.stem}.failed{'.tar' if is_container else '.qcow2'}")
    try:
        place(disk if is_container else _as_qcow2(disk), kept)
    except BakeryError as problem:
        return f"The disk could not be kept: {problem}"
    if is_container:
        return f"The container image was kept: {kept}"
    return f"The disk was kept; a shell in it: bake-image shell {shlex.quote(str(kept))}"


def _as_qcow2(disk: Path) -> Path:
    if disk.suffix == ".qcow2":
        return disk
    wait_unmounted(disk)
    made = disk.with_name("failed.qcow2")
    qemu.to_qcow2(disk, made)
    return made
