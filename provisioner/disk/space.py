"""Determine which disk is full: that of the image, or the one that stores the image."""

from __future__ import annotations

import os
from pathlib import Path

from provisioner.errors import BakeryError, DiskFull

_SPARE = 8 << 20  # bytes; a file system with less free space counts as full
_NO_SPACE = "No space left on device"


def full_disk(error: BakeryError, disk: Path, root: Path) -> BakeryError:
    """Return DiskFull, naming the disk, if lack of space caused `error`; otherwise `error`.

    `disk` is the image, `root` the mounted root of the image. From inside the image, a full host disk looks
    like a broken disk.
    """
    if _free(disk) < _SPARE:
        return DiskFull(
            f"The disk that stores the image is full. {error.message}",
            "Free some space, or set WORKER_BAKERY_CACHE to a folder on a larger disk.",
        )
    if _free(root) < _SPARE or _NO_SPACE in error.message:
        return DiskFull(
            f"The root file system of the image is full. {error.message}",
            "Install fewer packages, or increase root_size in the TOML file of the base.",
        )
    return error


def _free(where: Path) -> int:
    found = os.statvfs(where)
    return found.f_bavail * found.f_frsize
