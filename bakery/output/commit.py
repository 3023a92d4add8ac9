"""Move a finished file to the path that the user chose, atomically."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bakery.runtime.files import refuse_special
from provisioner.errors import BadInput, DiskFull


def check_target(target: Path) -> None:
    """Raise BadInput when no file can be written to `target`; called before the work starts."""
    if target.is_dir():
        raise BadInput(f"{target} is a folder.", "Give the path of a file with -o.")
    refuse_special(target)
    if not target.parent.is_dir():
        raise BadInput(f"There is no folder {target.parent}.", "Create it, or choose another path with -o.")
    if not os.access(target.parent, os.W_OK):
        raise BadInput(f"The folder {target.parent} is not writable.", "Choose another path with -o.")


def copy_into_place(source: Path, target: Path) -> None:
    """Copy a file to `target` atomically. Raises BadInput, DiskFull."""
    with appearing(target) as temporary, source.open("rb") as data, temporary.open("wb") as out:
        shutil.copyfileobj(data, out, 1 << 20)


def write_into_place(content: bytes, target: Path) -> None:
    """Write a file atomically. Raises BadInput, DiskFull."""
    with appearing(target) as temporary:
        temporary.write_bytes(content)


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Yield the path of a new file, which appears at `target` when the block has ended without an error.

    The file has no name until then, so a killed process leaves nothing behind; child processes can write to
    the path. Raises BadInput, DiskFull.
    """
    check_target(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with _nameless(temporary) as path:
            yield path
        temporary.rename(target)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull(
                f"No space left on device for {target}.",
                "Free some disk space, or choose another path with -o.",
            ) from None
        raise BadInput(f"Cannot write {target}: {error.strerror}.") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def _nameless(temporary: Path) -> Iterator[Path]:
    """Yield the path of a file that gets this name at the end of the block."""
    try:
        descriptor = os.open(temporary.parent, os.O_TMPFILE | os.O_RDWR, 0o644)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
            raise
        yield temporary  # no O_TMPFILE on this file system (NFS, old overlayfs)
        return
    try:
        yield Path(f"/proc/{os.getpid()}/fd/{descriptor}")
        # Only with a directory fd does Python call linkat(), which follows the link; link() does not.
        os.link(f"/proc/self/fd/{descriptor}", temporary, src_dir_fd=descriptor, follow_symlinks=True)
    finally:
        os.close(descriptor)
