"""The date of an image: the newest of its packages. It replaces every later time in the image.

The packages decide it, not the clock: an image of the same packages has the same date on any day.
https://reproducible-builds.org/specs/source-date-epoch/
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "SOURCE_DATE_EPOCH"


def of(root: Path) -> int:
    """SOURCE_DATE_EPOCH, else the date of the newest package, in seconds since 1970; 0 without any."""
    configured = os.environ.get(VARIABLE, "")
    if configured.isdigit():
        return int(configured)
    return max((int(seconds) for seconds in (*_of_dpkg(root), *_of_rpm(root))), default=0)


def _of_dpkg(root: Path) -> Iterator[float]:
    """The times of the checksums in packages, which are made with them.

    dpkg itself makes the checksums of a package without any, after it has written its list of files.
    """
    for path in (root / "var/lib/dpkg/info").glob("*.md5sums"):
        listed = path.with_suffix(".list")
        if listed.is_file() and path.lstat().st_mtime < listed.lstat().st_mtime:
            yield path.lstat().st_mtime


def _of_rpm(root: Path) -> Iterator[float]:
    """The times of licenses; rpm's database is not readable on every machine."""
    yield from (path.lstat().st_mtime for path in root.glob("usr/share/licenses/*/*") if path.is_file())
