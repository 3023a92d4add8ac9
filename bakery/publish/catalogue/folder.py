"""A catalogue in a folder, which any web server can serve."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bakery.output.commit import copy_into_place
from bakery.publish.image import Image
from bakery.runtime import digest
from bakery.store.locks import exclusive_lock
from provisioner.errors import BadInput, BakeryError, DiskFull
from provisioner.events import Monitor, note, phase


@dataclass(frozen=True)
class Folder:
    """`root` is created if it is missing."""

    root: Path
    monitor: Monitor

    @property
    def url(self) -> str:
        return self.root.as_uri() + "/"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One publisher at a time; the kernel releases the lock of a killed one."""
        with _errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(
            self.root, lambda: note(self.monitor, f"Waiting for another publisher to {self.url}.")
        ):
            yield

    def read(self, path: str) -> bytes | None:
        with _errors(self.root / path):
            try:
                return (self.root / path).read_bytes()
            except FileNotFoundError:
                return None

    def write(self, path: str, content: bytes) -> None:
        target = self.root / path
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        with _errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("xb") as out:
                    os.fchmod(out.fileno(), 0o644)  # whatever the umask: a web server reads it
                    out.write(content)
                    out.flush()
                    os.fsync(out.fileno())
                part.rename(target)
            finally:
                part.unlink(missing_ok=True)

    def files(self, folder: str) -> frozenset[str]:
        there = (self.root / folder).iterdir() if (self.root / folder).is_dir() else iter(())
        return frozenset(f"{folder}{path.name}" for path in there if not path.name.startswith("."))

    def has(self, path: str, image: Image) -> bool:
        """A crash of the machine can leave a named file that is incomplete: the content is read."""
        found = self.root / path
        if not found.is_file() or found.stat().st_size != image.size:
            return False
        with phase(self.monitor, "verify the image that is there"):
            return digest.of(found) == image.sha256

    def upload(self, path: str, image: Image, monitor: Monitor) -> None:
        target = self.root / path
        with phase(monitor, "copy the image"), _errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            copy_into_place(image.path, target)
            target.chmod(0o644)  # whatever the umask: a web server reads it
            _flush(target)
        if not self.has(path, image):
            target.unlink()
            raise BakeryError(
                f"{image.path} has changed while it was copied to {target}.", "Publish it again."
            )

    def discard_unfinished(self, folder: str, path: str) -> None:
        """Files without a final name, which a file system without O_TMPFILE and a killed process have left.

        The lock keeps other publishers out.
        """
        for place in (self.root / folder, self.root / "streams" / "v1"):
            for left in place.glob(".*") if place.is_dir() else ():
                left.unlink(missing_ok=True)

    def remove(self, path: str) -> None:
        with _errors(self.root / path):
            (self.root / path).unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                (self.root / path).parent.rmdir()


def _flush(path: Path) -> None:
    """Have the content on the disk before the catalogue names the file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Raise BadInput or DiskFull for errors of the system."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"No space is left on the disk of {path}.", "Free some space, or use --keep."
            ) from None
        raise BadInput(
            f"Cannot use {path}: {error.strerror}.", "Choose another folder with --to."
        ) from None
