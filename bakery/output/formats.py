"""The forms an image comes in. The root is baked the same way; one role and the file differ.

qcow2   a disk that boots
oci     a container image: an archive that is an OCI layout and a docker-archive
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from provisioner import plan as plans
from provisioner.errors import BadInput
from provisioner.events import Monitor, phase
from provisioner.plan import Plan

if TYPE_CHECKING:
    from bakery.image.bases import Base

Name = Literal["qcow2", "oci"]
Level = Literal["none", "offline", "boot", "pool"]
LEVELS: tuple[Level, ...] = get_args(Level)  # the lowest first


@dataclass(frozen=True)
class Format:
    """`boots`: a machine boots it, with a kernel, systemd and cloud-init; a container has none of them."""

    name: Name
    suffix: str
    boots: bool
    levels: tuple[Level, ...]  # of proof that there are for it, the lowest first

    def up_to(self, level: Level) -> tuple[Level, ...]:
        """Those to be shown for this one; none for "none"."""
        return self.levels[1 : self.levels.index(level) + 1]


FORMATS: dict[Name, Format] = {
    "qcow2": Format("qcow2", ".qcow2", boots=True, levels=LEVELS),
    "oci": Format("oci", ".tar", boots=False, levels=("none", "offline")),
}
SUFFIXES = tuple(form.suffix for form in FORMATS.values())


def write(form: Format, disk: Path, plan: Plan, base: Base, work: Path, monitor: Monitor) -> Path:
    """The finished image of a raw disk, as a file in `work`."""
    from bakery.runtime import qemu_img, sandbox

    image = work / f"image{form.suffix}"
    if form.boots:
        with phase(monitor, "compress the image"):
            qemu_img.to_zstd(disk, image)
    else:
        command = [sys.executable, "-P", "-m", "bakery.output.oci", *map(str, (disk, image, work))]
        told = {"plan": plans.to_json(plan), "architecture": base.architecture}
        sandbox.relay(command, json.dumps(told).encode(), monitor)
    return image


def check_output(form: Format, target: Path) -> None:
    """Raises BadInput where nothing can be placed at `target`; asked before the work."""
    from bakery.output.commit import check

    if _is_layout(form, target) and target.exists():
        raise BadInput(f"{target} exists already.", "Name a folder that is to be made, or end it in .tar.")
    check(target)


def output(form: Format, image: Path, target: Path) -> None:
    """The image where its user asked for it: as a folder, an OCI layout, unless the name ends in .tar."""
    from bakery.output.commit import place

    if not _is_layout(form, target):
        place(image, target)
        return
    from bakery.output.oci import layout

    part = target.with_name(f".{target.name}.part")
    layout.unpack(image, part)
    part.rename(target)


def _is_layout(form: Format, target: Path) -> bool:
    return form.name == "oci" and target.suffix != ".tar"
