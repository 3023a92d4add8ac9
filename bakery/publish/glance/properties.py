"""The properties of an image in Glance. Pure.

The common ones are those of Glance's metadata definitions and of Nova's "Useful image properties". Ours
have the prefix `worker_bakery_`; by them a publication finds what earlier ones have made.
"""

from __future__ import annotations

from bakery.publish.image import Image

PREFIX = "worker_bakery_"
NAME = f"{PREFIX}name"
SHA256 = f"{PREFIX}sha256"


def of(image: Image) -> dict[str, str]:
    """Return the properties of an image; those without a value are left out."""
    system, release = image.system, image.manifest.get("os_release", {})
    found = {
        "architecture": system.architecture,
        "hw_disk_bus": "virtio",
        "hw_firmware_type": "bios" if "bios" in system.firmware else "uefi",
        "os_type": "linux",
        "os_distro": system.os,
        "os_version": system.version,
        "os_admin_user": system.login,
        NAME: image.name,
        SHA256: image.sha256,
        f"{PREFIX}image_id": release.get("IMAGE_ID", ""),
        f"{PREFIX}image_version": release.get("IMAGE_VERSION", ""),
        f"{PREFIX}id": image.id,
        f"{PREFIX}kind": image.kind,
        f"{PREFIX}base": image.base,
        f"{PREFIX}made": image.made,
        f"{PREFIX}proof": " ".join(image.levels),
    }
    return {name: value for name, value in found.items() if value}
