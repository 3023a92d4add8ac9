"""Open a shell in the root directory of an image. It works on a copy; the image does not change."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bakery.runtime import qemu_img
from bakery.runtime.privileges import require_root
from bakery.store.store import Store, work_folder
from provisioner.errors import BadInput
from provisioner.process import run

TOOLS = ("qemu-img", "mount", "unshare", "setpriv", "chroot", "sfdisk")


def run_on_copy(image: Path, command: Sequence[str], store: Store) -> int:
    """Run `command` (default: bash) in the root of a copy of the image, on the caller's terminal.

    Returns the exit status. Raises BadInput: there is no such image; MissingHere: not root, or no tools.
    """
    if not image.is_file():
        raise BadInput(f"{image} is not a file.")
    require_root()
    run.require(*TOOLS)
    with work_folder(store) as work:
        disk = work / "disk.raw"
        qemu_img.to_raw(image, disk)
        module = [sys.executable, "-P", "-m", "provisioner.disk.shell", str(disk)]
        return run.attached(run.sandbox_argv([*module, *command], private_network=True))
