"""The date of an image: the newest of its packages. It replaces every later time in the image.

The packages decide it, not the clock: an image of the same packages has the same date on any day.
https://reproducible-builds.org/specs/source-date-epoch/
"""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "SOURCE_DATE_EPOCH"


def of(root: Path) -> int:
    """Return SOURCE_DATE_EPOCH, else the date of the newest package, in seconds since 1970; 0 without any.

    Debian's packages contain the date of the changelog, rpm's the date of the build.
    """
    configured = os.environ.get(VARIABLE, "")
    if configured.isdigit():
        return int(configured)
    share = root / "usr/share"
    dated = [*share.glob("doc/*/copyright"), *share.glob("licenses/*/*")]
    return max((int(path.lstat().st_mtime) for path in dated if path.is_file()), default=0)
