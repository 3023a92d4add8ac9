"""The system of a base, as the manifest of an image has it: what a published image says of itself. Pure."""

from __future__ import annotations

import re
from typing import Any

from bakery.image.bases import Base

# The name of a base begins with that of its system: debian13-cloud, ubuntu24.04, centos-stream9.
_NAMED = re.compile(r"(almalinux|centos|debian|rocky|ubuntu)(?:-stream)?([0-9.]+)")


def of(base: Base) -> dict[str, Any]:
    """Return the system of a base: `os` and `version` as ID and VERSION_ID of os-release(5).

    `version` is "" for a base whose name does not have it; the manifest of a new image also has the values
    that its os-release has.
    """
    found = _NAMED.match(base.name)
    return {
        "os": found[1] if found else re.sub(r"^el[0-9]*$", "rhel", base.family),
        "version": found[2] if found else "",
        "release": base.release,
        "family": base.family,
        "login": base.login,
        "firmware": list(base.firmware),
        "architecture": base.architecture,
    }
