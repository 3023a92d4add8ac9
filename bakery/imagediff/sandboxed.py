"""Mount two images read-only in a sandbox and read each as a tree."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

from bakery.imagediff import differ, sizes
from bakery.imagediff.tree import Folder
from bakery.runtime import qemu_img, sandbox
from bakery.runtime.privileges import require_root
from bakery.store.store import Store, work_folder
from provisioner.disk.file_systems import mount_root
from provisioner.errors import BadInput, CommandFailed
from provisioner.events import Monitor, phase
from provisioner.process import run

What = Literal["differences", "sizes"]
TOOLS = ("qemu-img", "unshare", "setpriv", "mount", "sfdisk", "blkid")


def compare(a: Path, b: Path, store: Store, monitor: Monitor) -> differ.Result:
    """Compare two images or root directories. Raises BadInput, MissingHere, DiskFull."""
    return differ.from_json(_run(a, b, "differences", store, monitor))


def compare_sizes(a: Path, b: Path, store: Store, monitor: Monitor) -> sizes.Growth:
    """Compare the sizes of two images or root directories. Raises BadInput, MissingHere, DiskFull."""
    return sizes.from_json(_run(a, b, "sizes", store, monitor))


def _run(a: Path, b: Path, what: What, store: Store, monitor: Monitor) -> dict[str, Any]:
    """Return the result as JSON has it. Without an image there is nothing to mount, and no sandbox."""
    for path in (a, b):
        if not (path.is_file() or path.is_dir()):
            raise BadInput(f"{path} is neither an image nor a folder.")
    if a.is_dir() and b.is_dir():
        return in_sandbox(a, b, what, Path(), monitor)
    require_root()
    run.require(*TOOLS)
    with work_folder(store) as work:
        command = [sys.executable, "-P", "-m", "bakery.imagediff", str(work)]
        stdin = json.dumps({"a": str(a), "b": str(b), "what": what}).encode()
        result: dict[str, Any] = sandbox.run_module(command, stdin, monitor)["result"]
        return result


def in_sandbox(a: Path, b: Path, what: What, work: Path, monitor: Monitor) -> dict[str, Any]:
    """Compare two images or root directories in this process, which mounts images."""
    with phase(monitor, "mount the images"), ThreadPoolExecutor() as threads:
        roots = list(threads.map(_root, (a, b), (work / "a", work / "b")))
    left, right = map(Folder, roots)
    with phase(monitor, "compare"):
        if what == "sizes":
            return sizes.growth(sizes.measure(left), sizes.measure(right)).to_json()
        return differ.differ(left, right, partial(left.first_difference, right)).to_json()


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
