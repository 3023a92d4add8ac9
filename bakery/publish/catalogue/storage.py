"""Where the files of a catalogue are: the interface of a folder and of an S3 bucket."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from bakery.publish.image import Image
from provisioner.events import Monitor


class Changed(Exception):
    """Another process has written the document since it was read."""


class Storage(Protocol):
    """Paths are relative to the root of the catalogue. Methods raise the errors of provisioner.errors."""

    @property
    def url(self) -> str:
        """The URL of the root, with a slash at its end."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Keep other publishers of this machine out, as far as the storage can."""
        ...

    def read(self, path: str) -> bytes | None:
        """Return a small file, None if there is none, and remember its version for `write`."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Replace a small file atomically. Raises Changed if it is not the version that was read."""
        ...

    def files(self, folder: str) -> frozenset[str]:
        """Return the paths of all files in a folder."""
        ...

    def has(self, path: str, image: Image) -> bool:
        """Whether the file is this image, complete."""
        ...

    def upload(self, path: str, image: Image, monitor: Monitor) -> None:
        """Write the image to a path, where it appears when it is complete; continue a killed upload."""
        ...

    def discard_unfinished(self, folder: str, path: str) -> None:
        """Remove what killed uploads to this folder have left, except those to `path`."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file; do nothing if there is none."""
        ...
