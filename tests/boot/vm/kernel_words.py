"""A worker image that boots with more words on its kernel's command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bakery.runtime import qemu_img
from provisioner.process import run

ESP = 1 << 20  # bytes, where mkosi puts the first partition
GRUB = "::/grub/grub.cfg"


@contextmanager
def booted_with(words: str, image: Path, folder: Path) -> Iterator[Path]:
    """A copy of the image, in `folder`, while the block runs."""
    disk, config, made = folder / "disk.raw", folder / "grub.cfg", folder / "with-words.qcow2"
    qemu_img.to_raw(image, disk)
    where = f"{disk}@@{ESP}"
    run.call(["mcopy", "-i", where, GRUB, str(config)])
    told, changed = re.subn(r"(?m)^(\s*linux .*)$", rf"\1 {words}", config.read_text())
    assert changed
    config.write_text(told)
    run.call(["mcopy", "-o", "-i", where, str(config), GRUB])
    qemu_img.to_qcow2(disk, made)
    disk.unlink()
    yield made
    made.unlink()
