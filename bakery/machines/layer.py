"""Mount a writable layer in memory over a read-only root directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provisioner.process import run

# The size of the layer: less than the memory of any build machine, so that a job that fills its worker's
# disk does not exhaust it.
SIZE = "2g"


def mount_layer(lower: Path, memory: Path, root: Path) -> None:
    """Mount `lower` at `root` as an overlay whose upper layer is a tmpfs at `memory`; create both folders.

    Nothing unmounts them but the end of the caller's sandbox; `layer` unmounts its own.
    """
    for folder in (memory, root):
        folder.mkdir()
    run.call(["mount", "-t", "tmpfs", "-o", f"mode=0755,size={SIZE}", "tmpfs", str(memory)])
    upper, work = memory / "upper", memory / "work"
    for folder in (upper, work):
        folder.mkdir()
    layers = f"lowerdir={lower},upperdir={upper},workdir={work}"
    run.call(["mount", "-t", "overlay", "-o", layers, "overlay", str(root)])


@contextmanager
def layer(lower: Path, work: Path) -> Iterator[Path]:
    """Yield a writable view of `lower` in the folder `work`; unmount it after the block."""
    memory, root = work / "layer", work / "root"
    mount_layer(lower, memory, root)
    try:
        yield root
    finally:
        for mount_point in (root, memory):
            run.call(["umount", str(mount_point)])
            mount_point.rmdir()
