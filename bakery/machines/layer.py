"""A writable layer in memory over a root directory that is only read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from provisioner.process import run

# What may be written. Less than the memory of any machine that builds images, so that a job which
# fills its worker's disk does not fill the build machine.
SIZE = "2g"


def mount_layer(lower: Path, memory: Path, root: Path) -> None:
    """`root` is `lower`, and what is written to it goes to `memory`; both folders are made.

    The mounts are for the life of the caller's sandbox; `layer` takes them back.
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
    """A root directory under the folder `work` while the block runs."""
    memory, root = work / "layer", work / "root"
    mount_layer(lower, memory, root)
    try:
        yield root
    finally:
        for where in (root, memory):
            run.call(["umount", str(where)])
            where.rmdir()
