"""Decide which secrets of an image are findings, and name their places. No message shows a secret."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bakery.imagediff.tree import Folder
from bakery.verify.secrets.files import FileMatch, Searched, search_files
from bakery.verify.secrets.packages import Packages
from bakery.verify.secrets.public import is_public
from bakery.verify.secrets.search import Match, data_ranges, search_file
from provisioner.errors import NotProven

_DEFINITION = b"/usr/lib/worker-bakery/definition.json"
_SHOWN = 40  # findings in a message
# A file may continue in another place of the disk after each block. What both parts share must be at least
# this long to be taken for the secret in the file.
_BLOCK, _LEAST_PART = 4096, 48
_HINT = (
    "Find out which step, package or base image left it there, and bake again. docs/explanation/secrets.md "
    "describes what is searched, and which secrets are public."
)


@dataclass(frozen=True)
class Finding:
    """A secret that must not be in an image: its kind, its place, and its length in bytes."""

    kind: str
    place: str
    length: int

    def __str__(self) -> str:
        return f"{self.kind} of {self.length} bytes: {self.place}"


@dataclass(frozen=True)
class Result:
    """What was searched, and the findings."""

    findings: tuple[Finding, ...]
    files: int
    raw_bytes: int

    def check(self) -> None:
        """Raises NotProven: there are findings."""
        if self.findings:
            shown = [f"  {finding}" for finding in self.findings[:_SHOWN]]
            more = len(self.findings) - len(shown)
            rows = [*shown, *([f"  and {more} more"] if more else [])]
            raise NotProven("\n".join(["The image contains secrets:", *rows, ""]), _HINT)

    def __str__(self) -> str:
        return f"{self.files} files, {self.raw_bytes >> 20} MiB of raw bytes"


def scan(root: Path, raw: Path) -> Result:
    """Search the files below `root`, and the bytes of `raw`: a disk, or the archive of a container image.

    Raises OSError, and MissingHere: the image has packages of rpm, which this machine does not have.
    """
    searched = Searched()
    in_files = list(search_files(root, searched))
    public = _public(in_files, Packages(root)) | _defined(in_files, Folder(root))
    findings = [
        Finding(each.match.kind.name, each.place, len(each.match.secret))
        for each in in_files
        if not _is_known(each.match, public)
    ]
    with raw.open("rb") as opened:
        descriptor, size = opened.fileno(), raw.stat().st_size
        known = [each.match for each in in_files]
        findings += _in_no_file(search_file(descriptor), known)
        raw_bytes = sum(end - start for start, end in data_ranges(descriptor, size))
    return Result(tuple(findings), searched.files, raw_bytes)


def _public(found: Sequence[FileMatch], packages: Packages) -> set[bytes]:
    """The secrets in unmodified files of packages: test keys, examples. Their copies are public, too.

    Python's bytecode, which no package contains, has copies of them.
    """
    intact = {path: packages.has(path) for path in {each.path for each in found}}
    return {_normal(each.match.secret) for each in found if intact[each.path] and not each.attribute}


def _defined(found: Sequence[FileMatch], tree: Folder) -> set[bytes]:
    """The settings in files of the image's definition (provisioner/roles/site/settings.py)."""
    files = json.loads(tree.read(_DEFINITION) or b"{}").get("files", {})
    settings = [each for each in found if each.match.kind.is_setting and not each.attribute]
    return {_normal(each.match.secret) for each in settings if _is_defined(each.path, files, tree)}


def _is_defined(path: bytes, files: Mapping[str, str], tree: Folder) -> bool:
    digest = files.get(path.decode("utf-8", "surrogateescape"))
    return digest is not None and hashlib.sha256(tree.read(path) or b"").hexdigest() == digest


def _is_known(match: Match, public: Collection[bytes]) -> bool:
    return is_public(match.secret) or _normal(match.secret) in public


def _normal(secret: bytes) -> bytes:
    """Without what separates the lines of a PEM text, which differs between source code and bytecode."""
    return re.sub(rb"\\+[nrt]|[\s\"',\\]", b"", secret)


def _in_no_file(found: Iterator[Match], in_files: Sequence[Match]) -> Iterator[Finding]:
    """Yield secrets in free space, behind the end of a file, in metadata, or outside of partitions."""
    for match in found:
        if not is_public(match.secret) and not _is_in(match, in_files):
            place = f"byte offset {match.start} of the raw disk, in no file"
            yield Finding(match.kind.name, place, len(match.secret))


def _is_in(match: Match, in_files: Sequence[Match]) -> bool:
    """Whether a file contains the secret, or its part before the end of a block."""
    whole = len(match.secret)
    ends = range(_BLOCK - match.start % _BLOCK, whole, _BLOCK)
    parts = [match.secret, *(match.secret[:end] for end in ends if end >= _LEAST_PART)]
    others = [each.secret for each in in_files if each.kind is match.kind]
    return any(other.startswith(part) for other in others for part in parts)
