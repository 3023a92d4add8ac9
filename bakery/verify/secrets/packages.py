"""Which files of an image belong to a package and are unmodified: by the databases of dpkg, rpm and pip."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from bakery.imagediff import rpmdb
from bakery.imagediff.tree import Folder

_MERGED = re.compile(rb"/(?:bin|sbin|lib|lib32|lib64|libx32)(?=/)")
_CONFFILE = re.compile(rb" (/\S+) ([0-9a-f]{32})")  # a line of the field Conffiles
_DPKG = b"/var/lib/dpkg"
_SITE_PACKAGES = re.compile(rb".*/(?:site|dist)-packages(?=/)")
# Of a digest in rpm's database, by its length; md5 until EL5.
_RPM_ALGORITHMS = {32: "md5", 40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}
_RPM_FORMAT = "[%{FILEDIGESTS} %{FILENAMES}\n]"

Digests = Mapping[bytes, tuple[str, str]]  # path → algorithm, hexadecimal digest


class Packages:
    """The packages of the image in the folder `root`. The databases are read when they are needed."""

    def __init__(self, root: Path) -> None:
        self._tree = Folder(root)
        self._pip: dict[bytes, Digests] = {}

    def has(self, path: bytes) -> bool:
        """Whether the file belongs to a package and has the content that the package gave it."""
        known = self._digests.get(self._merged(path)) or self._of_pip(path).get(path)
        if known is None:
            return False
        algorithm, digest = known
        content = self._tree.read(path)
        return content is not None and hashlib.new(algorithm, content).hexdigest() == digest

    @cached_property
    def _digests(self) -> Digests:
        found = (*self._dpkg(), *self._rpm())
        return {self._merged(path): (algorithm, digest) for path, algorithm, digest in found}

    def _merged(self, path: bytes) -> bytes:
        """The path below /usr if /bin, /lib … are links to /usr/bin, /usr/lib …"""
        return b"/usr" + path if _MERGED.match(path) and self._is_merged else path

    @cached_property
    def _is_merged(self) -> bool:
        found = self._tree.children(b"").get(b"lib")
        return found is not None and found.kind == "link"

    def _dpkg(self) -> Iterator[tuple[bytes, str, str]]:
        for name in self._tree.children(_DPKG + b"/info"):
            if name.endswith(b".md5sums"):
                for row in (self._tree.read(_DPKG + b"/info/" + name) or b"").splitlines():
                    digest, _, path = row.partition(b"  ")
                    yield b"/" + path, "md5", digest.decode("ascii", "replace")
        for row in (self._tree.read(_DPKG + b"/status") or b"").splitlines():
            if found := _CONFFILE.match(row):
                yield found[1], "md5", found[2].decode()

    def _rpm(self) -> Iterator[tuple[bytes, str, str]]:
        for folder in rpmdb.FOLDERS:
            for row in rpmdb.rows(self._tree, folder, _RPM_FORMAT):
                digest, _, path = row.partition(" ")
                if algorithm := _RPM_ALGORITHMS.get(len(digest)):
                    yield path.encode("utf-8", "surrogateescape"), algorithm, digest

    def _of_pip(self, path: bytes) -> Digests:
        """The files of pip's packages in the folder site-packages that contains the path."""
        found = _SITE_PACKAGES.match(path)
        if not found:
            return {}
        if found[0] not in self._pip:
            self._pip[found[0]] = {each: (kind, digest) for each, kind, digest in self._records(found[0])}
        return self._pip[found[0]]

    def _records(self, folder: bytes) -> Iterator[tuple[bytes, str, str]]:
        """The rows of all RECORD files: path, ALGORITHM=DIGEST in base64, size; see PEP 376."""
        for name in self._tree.children(folder):
            if name.endswith(b".dist-info"):
                text = (self._tree.read(folder + b"/" + name + b"/RECORD") or b"").decode(
                    "utf-8", "replace"
                )
                for path, digest, *_ in filter(None, csv.reader(text.splitlines())):
                    algorithm, _, encoded = digest.partition("=")
                    if encoded:
                        value = base64.urlsafe_b64decode(encoded + "==").hex()
                        yield folder + b"/" + path.encode(), algorithm, value
