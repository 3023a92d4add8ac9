"""Whether another bake of the same plan, base and lock gives the same bytes: recorded in the manifest.

    "reproducible": {"source_date": 1763112000, "tools": {"mke2fs": "1.47.0", "qemu-img": "10.0.2"}}
    "reproducible": {"obstacle": "xfs cannot be written in a fixed order"}

If SOURCE_DATE_EPOCH was set, it is there as "configured". The bytes of an image depend on these tools,
too: other versions may lay out its blocks differently.
"""

from __future__ import annotations

import os
import re
from typing import Any

from bakery.bake.planned import Bake
from bakery.engines.made import Made
from provisioner import source_date
from provisioner.events import note
from provisioner.process import run

_VERSIONS = {
    "mke2fs": ("mke2fs", "-V"),
    "mtools": ("mtools", "--version"),
    "qemu-img": ("qemu-img", "--version"),
}


def recorded(this: Bake, made: Made) -> dict[str, Any]:
    """The entry of the manifest of a disk; {} for containers. The reason of an obstacle is reported."""
    if not this.form.boots:
        return {}
    if made.obstacle:
        note(this.monitor, f"The bytes of the image are not reproducible: {made.obstacle}.")
        return {"reproducible": {"obstacle": made.obstacle}}
    own = {"configured": configured()} if configured() else {}
    return {"reproducible": {"source_date": made.date, **own, "tools": tools()}}


def configured() -> str:
    """The source date that the user set, "" if none."""
    return os.environ.get(source_date.VARIABLE, "")


def tools() -> dict[str, str]:
    """The versions of the programs that decide about the bytes of an image."""
    return {name: _version(argv) for name, argv in _VERSIONS.items()}


def _version(argv: tuple[str, ...]) -> str:
    done = run.call(argv)
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else ""
