"""qemu-img: disks copied, layered and compressed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from provisioner.process import run

Form = Literal["raw", "qcow2"]


def to_raw(source: Path, target: Path) -> None:
    """A sparse raw copy with the content of all layers, to be written on."""
    run.call(["qemu-img", "convert", "-O", "raw", str(source), str(target)])


def to_qcow2(source: Path, target: Path, form: Form = "raw") -> None:
    """An uncompressed qcow2 with the content of all layers: quick to read, for the cache.

    Not flushed to the disk: what a power cut leaves is too short.
    """
    run.call(["qemu-img", "convert", "-f", form, "-O", "qcow2", str(source), str(target)])


def to_zstd(source: Path, target: Path) -> None:
    """The form an image is published in: a tenth of zlib's time, a little smaller, QEMU >= 5.1."""
    options = ["-c", "-m", "4", "-o", "compression_type=zstd"]
    run.call(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, str(source), str(target)])


def overlay(base: Path, target: Path, size: str = "") -> None:
    """An empty qcow2 layer; writes go there, the base stays as it is."""
    backing = ["-b", str(base.resolve()), "-F", "qcow2"]
    run.call(["qemu-img", "create", "-q", "-f", "qcow2", *backing, str(target), *([size] if size else [])])


def virtual_size(image: Path) -> int:
    """Bytes the guest sees. Raises CommandFailed when it is no disk image."""
    done = run.call(["qemu-img", "info", "--output=json", str(image)])
    info: dict[str, Any] = json.loads(done.stdout)
    return int(info["virtual-size"])


def other_files(image: Path) -> list[str]:
    """Names of the files that a qcow2 refers to: what it is a layer over, where its data are.

    Raises CommandFailed when it is no qcow2.
    """
    done = run.call(["qemu-img", "info", "-f", "qcow2", "--output=json", str(image)])
    info: dict[str, Any] = json.loads(done.stdout)
    data = info.get("format-specific", {}).get("data", {}).get("data-file")
    return [str(name) for name in (info.get("backing-filename"), data) if name]
