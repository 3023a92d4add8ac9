"""Copy an image of a catalogue to Glance, under a name of its own: no other image changes."""

from __future__ import annotations

from collections.abc import Callable

from bakery.catalogue import published as catalogue
from bakery.catalogue.published import Published
from bakery.publish import image as images
from bakery.publish.glance import publish
from bakery.runtime import qemu_img
from bakery.store.store import Store
from provisioner.events import Monitor

_GIB = 1 << 30


def copy(
    published: Published, cloud: str, store: Store, monitor: Monitor, check: Callable[[int], None]
) -> str:
    """Publish the image to a cloud of clouds.yaml, for its project alone; return its id.

    `check` is called with the least disk (GiB) of its servers before anything is uploaded; its exceptions
    pass. Raises Unreachable, WrongChecksum, DiskFull, Refused, BadInput.
    """
    manifest = catalogue.manifest(published)
    with catalogue.obtained(published, store, monitor) as path:
        image = images.of_catalogue(path, manifest, published.sha256, published.title)
        check(-(-qemu_img.virtual_size(path) // _GIB))
        target = f"openstack:{cloud}"
        return publish.publish(image, cloud, publish.Options(), target, monitor).location
