"""The versions of HTCondor, the kernel and cloud-init in an image, read from its files."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from bakery.imagediff import records
from bakery.imagediff.records import Records
from bakery.imagediff.tree import Folder, Tree
from bakery.runtime import qemu_img, sandbox
from bakery.store.locks import shared_lock
from bakery.store.store import Store, work_folder
from provisioner.disk.file_systems import mount_root
from provisioner.events import Monitor, phase
from provisioner.process import run

TOOLS = ("qemu-img", "unshare", "setpriv", "mount", "sfdisk", "blkid")
# Packages by the name of the version; the names are the same in Debian, Ubuntu and Enterprise Linux.
PACKAGES = {"HTCondor": "condor", "cloud-init": "cloud-init"}
_MODULES = b"/usr/lib/modules"  # one folder for each kernel, named as `uname -r` prints it


def read(image: Path, store: Store, monitor: Monitor) -> Mapping[str, str]:
    """Return the versions by name, without those that the image does not have. Requires root.

    Raises MissingHere: a tool is missing; BadInput: rpm cannot read the image's packages.
    """
    run.require(*TOOLS)
    with shared_lock(image), work_folder(store) as work:
        command = [sys.executable, "-P", "-m", "bakery.base_proofs", str(image), str(work)]
        versions: Mapping[str, str] = sandbox.run_module(command, b"", monitor)["versions"]
        return versions


def in_sandbox(image: Path, work: Path, monitor: Monitor) -> Mapping[str, str]:
    """Do the same in this process, which mounts a copy of the image."""
    disk, root = work / "versions.raw", work / "versions-root"
    root.mkdir()
    with phase(monitor, "read the versions in the image"):
        qemu_img.to_raw(image, disk)
        mount_root(disk, root, read_only=True)
        tree = Folder(root)
        return dict(_versions(tree, records.packages(tree)))


def _versions(tree: Tree, packages: Records) -> Iterator[tuple[str, str]]:
    for title, package in PACKAGES.items():
        if found := _of_package(package, packages):
            yield title, found
    if kernels := sorted(tree.children(_MODULES)):
        yield "kernel", kernels[-1].decode("utf-8", "replace")


def _of_package(name: str, packages: Records) -> str:
    """Return the version of an installed package; dpkg's records are NAME:ARCH, rpm's NAME.ARCH."""
    found = (fields for key, fields in packages.items() if key.startswith((f"{name}:", f"{name}.")))
    return next((fields["version"] for fields in found if "deinstall" not in fields.get("status", "")), "")
