"""A worker image with the HTCondor of Debian's unstable in the place of its own: its newest series."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bakery.runtime import qemu_img, sandbox
from bakery.runtime.mirror import find
from provisioner.disk.file_systems import mount_root
from provisioner.events import Silent
from provisioner.process import run
from provisioner.targets.chroot import Chroot, TemporaryRepositories

SOURCES = """\
Types: deb
URIs: {mirror}
Suites: sid
Components: main
Check-Valid-Until: no
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


@contextmanager
def upgraded(image: Path, folder: Path) -> Iterator[Path]:
    """A copy of the image with it, while the block runs."""
    made = folder / "newer.qcow2"
    sandbox.run_module([sys.executable, "-m", "tests.newer_htcondor", str(image), str(made)], b"", Silent())
    yield made
    made.unlink()


def make(image: Path, made: Path) -> None:
    """`made` becomes the copy; called in a sandbox."""
    disk, root, packages = (made.with_suffix(suffix) for suffix in (".raw", ".root", ".packages"))
    qemu_img.to_raw(image, disk)
    for folder in (root, packages):
        folder.mkdir()
    mount_root(disk, root)
    # A mirror that is some days behind is no reason to fail here.
    sources = SOURCES.format(mirror=find().main)
    target = Chroot(root, TemporaryRepositories(sources, "", packages))
    install = ("apt-get", "-q", "-y", "-o", "Dpkg::Options::=--force-confold", "install", "condor")
    for argv in (("apt-get", "-q", "update"), ("env", "DEBIAN_FRONTEND=noninteractive", *install)):
        target.run(argv, lambda _: None)
    target.close()
    run.call(["umount", "--recursive", str(root)])
    qemu_img.to_qcow2(disk, made)
    disk.unlink()


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
    print(json.dumps({"event": "result"}))
