"""The formats of an image. They share all roles but one; the output file differs.

qcow2                a disk that boots
raw, vmdk, vhd, gce  the same disk, written from the qcow2 of the cache (bakery/output/disks.py)
oci                  a container image: an archive that is an OCI layout and a docker-archive
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from provisioner import plan as plans
from provisioner.errors import BadInput
from provisioner.events import Monitor, phase
from provisioner.plan import Plan

if TYPE_CHECKING:
    from bakery.image.bases import Base

Name = Literal["qcow2", "raw", "vmdk", "vhd", "gce", "oci"]
Level = Literal["none", "offline", "boot", "pool", "clone"]
LEVELS: tuple[Level, ...] = get_args(Level)  # the lowest first


@dataclass(frozen=True)
class Format:
    """An image format.

    `boots`: a machine boots it, with kernel, systemd and cloud-init; a container has none of these.
    """

    name: Name
    suffix: str
    boots: bool
    levels: tuple[Level, ...]  # the supported verification levels, the lowest first

    @property
    def stored_suffix(self) -> str:
        """The suffix of the image in the store, which keeps disks as qcow2 only."""
        return _QCOW2 if self.boots else self.suffix

    @property
    def is_stored(self) -> bool:
        return self.suffix == self.stored_suffix

    def up_to(self, level: Level) -> tuple[Level, ...]:
        """Return the levels to verify for `level`, the lowest first; none for "none"."""
        return self.levels[1 : self.levels.index(level) + 1]


_QCOW2 = ".qcow2"
_DISKS: dict[Name, str] = {"qcow2": _QCOW2, "raw": ".raw", "vmdk": ".vmdk", "vhd": ".vhd", "gce": ".tar.gz"}
FORMATS: dict[Name, Format] = {
    **{name: Format(name, suffix, boots=True, levels=LEVELS) for name, suffix in _DISKS.items()},
    "oci": Format("oci", ".tar", boots=False, levels=("none", "offline")),
}


@contextmanager
def written(
    form: Format, disk: Path, plan: Plan, base: Base, work: Path, monitor: Monitor
) -> Iterator[Path]:
    """Write the finished image of a raw disk to a file in `work` while the block runs; yield its path.

    The file is complete at the end of the block, which must not change the disk.
    """
    from bakery.runtime import qemu_img, sandbox

    image = work / f"image{form.stored_suffix}"
    if form.boots:
        with phase(monitor, "compress the image"), qemu_img.compressed(disk, image):
            yield image
    else:
        command = [sys.executable, "-P", "-m", "bakery.output.oci", *map(str, (disk, image, work))]
        inputs = {"plan": plans.to_json(plan), "architecture": base.architecture}
        sandbox.run_module(command, json.dumps(inputs).encode(), monitor)
        yield image


def check_output(form: Format, target: Path) -> None:
    """Raise BadInput when the image cannot be written to `target`; called before the work starts."""
    from bakery.output.commit import check_target

    if _is_layout(form, target) and target.exists():
        raise BadInput(
            f"{target} already exists.", "Give the path of a new folder, or a name that ends in .tar."
        )
    check_target(target)


def write_output(
    form: Format, image: Path, target: Path, monitor: Monitor, *, compat: bool = False
) -> None:
    """Write the image of the store to `target`, in its format.

    With `compat`, a qcow2 is compressed with zlib. A container image becomes a folder (an OCI layout),
    unless the name ends in .tar. Raises BadInput, DiskFull, CommandFailed, NotProven.
    """
    from bakery.output.commit import copy_into_place

    if compat or not form.is_stored:
        from bakery.output import disks

        with phase(monitor, f"write the image as {form.name}"):
            disks.write(disks.OLD_QCOW2 if compat else disks.FORMS[form.name], image, target)
    elif not _is_layout(form, target):
        copy_into_place(image, target)
    else:
        from bakery.output.oci import layout

        part = target.with_name(f".{target.name}.part")
        layout.unpack(image, part)
        part.rename(target)


def _is_layout(form: Format, target: Path) -> bool:
    return form.name == "oci" and target.suffix != ".tar"
