"""A finished file at the place its user asked for: whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from pathlib import Path

from provisioner.errors import BadInput, DiskFull


def check(target: Path) -> None:
    """Raises BadInput when nothing can be placed there; to be asked before the work, not after it."""
    if target.is_dir():
        raise BadInput(f"{target} is a folder.", "Give the image's whole path with -o.")
    if not target.parent.is_dir():
        raise BadInput(f"There is no folder {target.parent}.", "Make it, or choose another -o.")
    if not os.access(target.parent, os.W_OK):
        raise BadInput(f"{target.parent} cannot be written to.", "Choose another -o.")


def place(source: Path, target: Path) -> None:
    """Copy, then rename. The copy has no name until it is whole, so a kill leaves nothing behind."""
    check(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        _copy(source, temporary)
        temporary.rename(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno == errno.ENOSPC:
            raise DiskFull(
                f"No space left for {target}.", "Free some space or choose another -o."
            ) from None
        raise BadInput(f"{target} cannot be written: {error.strerror}.") from None


def _copy(source: Path, temporary: Path) -> None:
    try:
        number = os.open(temporary.parent, os.O_TMPFILE | os.O_RDWR, 0o644)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
            raise
        shutil.copyfile(source, temporary)  # a file system without nameless files (NFS, old overlayfs)
        return
    with os.fdopen(number, "wb") as out, source.open("rb") as data:
        shutil.copyfileobj(data, out, 1 << 20)
        out.flush()
        # With a directory fd Python calls linkat and follows the link; without, link(), which does not.
        os.link(f"/proc/self/fd/{number}", temporary, src_dir_fd=number, follow_symlinks=True)
