"""Mount two images read-only in a sandbox and read each as a tree."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from bakery.imagediff import differ
from bakery.imagediff.tree import Folder
from bakery.runtime import qemu_img, sandbox
from bakery.runtime.privileges import require_root
from bakery.store.store import Store, work_folder
from provisioner.disk.file_systems import mount_root
from provisioner.errors import BadInput, CommandFailed
from provisioner.events import Monitor, phase
from provisioner.process import run

TOOLS = ("qemu-img", "unshare", "setpriv", "mount", "sfdisk", "blkid")


def compare(a: Path, b: Path, store: Store, monitor: Monitor) -> differ.Result:
    """Compare two images or root directories. Raises BadInput, MissingHere, DiskFull."""
    for path in (a, b):
        if not (path.is_file() or path.is_dir()):
            raise BadInput(f"{path} is neither an image nor a folder.")
    if a.is_dir() and b.is_dir():
        return in_sandbox(a, b, Path(), monitor)
    require_root()
    run.require(*TOOLS)
    with work_folder(store) as work:
        command = [sys.executable, "-P", "-m", "bakery.imagediff", str(work)]
        stdin = json.dumps([str(a), str(b)]).encode()
        return differ.from_json(sandbox.run_module(command, stdin, monitor)["result"])


def in_sandbox(a: Path, b: Path, work: Path, monitor: Monitor) -> differ.Result:
    """Compare two images or root directories in this process, which mounts images."""
    with phase(monitor, "mount the images"), ThreadPoolExecutor() as threads:
        roots = list(threads.map(_root, (a, b), (work / "a", work / "b")))
    left, right = map(Folder, roots)
    with phase(monitor, "compare"):
        return differ.differ(left, right, partial(left.first_difference, right))


def _root(path: Path, where: Path) -> Path:
    return path if path.is_dir() else _mounted(path, where)


def _mounted(image: Path, root: Path) -> Path:
    """Mount a copy of the image. The copy is unlinked, so it disappears with the sandbox."""
    disk = root.with_suffix(".raw")
    root.mkdir()
    try:
        qemu_img.to_raw(image, disk)
        mount_root(disk, root, read_only=True)
    except CommandFailed as error:
        raise BadInput(f"Cannot mount {image}. {error}") from None
    disk.unlink()
    return root
