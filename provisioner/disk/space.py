"""Which of two disks it is that has no space left: the image's own, or the one below it."""

from __future__ import annotations

import os
from pathlib import Path

from provisioner.errors import BakeryError, DiskFull

_SPARE = 8 << 20  # bytes; a file system with less than that left has failed somebody
_NO_SPACE = "No space left on device"


def full_disk(error: BakeryError, disk: Path, root: Path) -> BakeryError:
    """The same error, or DiskFull if it is because there is no space left, on which disk of the two.

    A full disk under the image looks like a broken one from inside: only this machine knows.
    """
    if _free(disk) < _SPARE:
        return DiskFull(
            f"The disk that the image is made on is full. {error.message}",
            "Free some space, or set WORKER_BAKERY_CACHE to a folder on a larger disk.",
        )
    if _free(root) < _SPARE or _NO_SPACE in error.message:
        return DiskFull(
            f"The image's own root file system is full. {error.message}",
            "Install less, or start from a base with a larger root (root_size in its TOML file).",
        )
    return error


def _free(where: Path) -> int:
    found = os.statvfs(where)
    return found.f_bavail * found.f_frsize
