"""The date of a Debian archive: no time in a base that is built from it is later.

The archive decides it, not the clock: the same packages give the same base on any day.
https://reproducible-builds.org/specs/source-date-epoch/
"""

from __future__ import annotations

import email.utils
import os
import re

from bakery.runtime.mirror import Mirror
from bakery.sources import http
from bakery.sources.http import Get
from provisioner import source_date
from provisioner.errors import Unreachable

_DATE = re.compile(rb"^Date: *(.+?)\s*$", re.MULTILINE)


def of(mirror: Mirror, release: str, get: Get = http.get) -> int:
    """SOURCE_DATE_EPOCH, else the date of the newest index of the release, in seconds since 1970.

    Raises Unreachable: an index cannot be read, or has no date.
    """
    configured = os.environ.get(source_date.VARIABLE, "")
    if configured.isdigit():
        return int(configured)
    return max(_date(suite, get) for suite in mirror.suites(release))


def _date(suite: str, get: Get) -> int:
    answers = (get(f"{suite}/{name}") for name in ("InRelease", "Release"))
    text = next((answer.body for answer in answers if answer.status == 200), b"")
    found = _DATE.search(text)
    if found is None:
        raise Unreachable(
            f"{suite} has no index with a date.", "Use another mirror: --mirror http://MIRROR/debian."
        )
    return int(email.utils.parsedate_to_datetime(found[1].decode("ascii", "replace")).timestamp())
