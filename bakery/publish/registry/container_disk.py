"""A disk as a container image that KubeVirt starts as a virtual machine (containerDisk).

The image has one layer with the file disk/NAME.qcow2 of user and group 107, which is QEMU in KubeVirt.

Source: kubevirt.io/user-guide/storage/disks_and_volumes, containerDisk.
"""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path
from typing import Any

from bakery.output.oci import layout
from bakery.output.oci.config import ARCHITECTURES
from bakery.output.oci.layer import Layer, sha256
from bakery.publish.image import Image

_QEMU = 107
_PLAIN = 0  # a qcow2 of ours is compressed already


def write(image: Image, tag: str, work: Path) -> Path:
    """Write the container image of a disk as an archive in `work`, reproducibly; return its path."""
    plain, packed, archive = work / "layer.tar", work / "layer.tar.gz", work / "disk.tar"
    _write_layer(image, plain)
    diff_id = sha256(plain)
    with (
        plain.open("rb") as data,
        packed.open("wb") as out,
        gzip.GzipFile("", "wb", _PLAIN, out, mtime=0) as compressed,
    ):
        while chunk := data.read(1 << 20):
            compressed.write(chunk)
    plain.unlink()
    layer = Layer(packed, sha256(packed), diff_id, packed.stat().st_size)
    layout.write_archive(layout.entries(_config(image, layer), layer, tag), archive)
    packed.unlink()
    return archive


def _write_layer(image: Image, target: Path) -> None:
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive, image.path.open("rb") as data:
        folder = tarfile.TarInfo("disk")
        folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o755, _QEMU, _QEMU
        archive.addfile(folder)
        file = tarfile.TarInfo(f"disk/{image.name}.qcow2")
        file.size, file.mode, file.uid, file.gid = image.size, 0o440, _QEMU, _QEMU
        archive.addfile(file, data)


def _config(image: Image, layer: Layer) -> dict[str, Any]:
    made = image.made.replace("+00:00", "Z")
    return {
        **({"created": made} if made else {}),
        "architecture": ARCHITECTURES[image.system.architecture],
        "os": "linux",
        "config": {
            "Labels": {
                "org.opencontainers.image.title": image.name,
                "worker-bakery.base": image.base,
                "worker-bakery.plan": image.id,
                "worker-bakery.sha256": image.sha256,
                "worker-bakery.proof": " ".join(image.levels),
            }
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.diff_id}"]},
    }
