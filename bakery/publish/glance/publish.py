"""Execute the plan of Glance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bakery.openstack.cloud import connected
from bakery.publish.glance import plan as plans
from bakery.publish.glance import properties
from bakery.publish.glance.api import Images, Json
from bakery.publish.glance.data import Data
from bakery.publish.glance.plan import (
    Create,
    DeleteUnfinished,
    Found,
    Hide,
    Rename,
    Retire,
    Share,
    Update,
    Upload,
    Wanted,
)
from bakery.publish.image import Image
from bakery.publish.outcome import Outcome
from bakery.runtime import digest, qemu_img
from bakery.runtime.conditions import wait_until
from provisioner.errors import BadInput, BakeryError, NotProven, WrongChecksum
from provisioner.events import Monitor, note, phase, warn

if TYPE_CHECKING:
    from openstack.connection import Connection

_SETTLE_SECONDS = 60  # for Glance to notice that the client of an upload has gone
_BUSY = ("saving", "uploading", "importing")
_GIB = 1 << 30


@dataclass(frozen=True)
class Options:
    """What is asked for beside the image; see plan.Wanted."""

    visibility: str = "private"
    projects: tuple[str, ...] = ()
    previous: plans.Previous = "hide"
    keep: int | None = None
    dry_run: bool = False


def publish(image: Image, cloud: str, options: Options, target: str, monitor: Monitor) -> Outcome:
    """Publish a disk; without changes if Glance has it as it shall be.

    Raises BadInput, DiskFull, MissingHere, Refused, Unreachable, WrongChecksum.
    """
    wanted = _wanted(image, options)
    with connected(cloud) as connection:
        this = _Publication(image, wanted, connection, monitor)
        there = this.there()
        actions = plans.plan(wanted, there)
        this.id = _current(there)
        for action in () if options.dry_run else actions:
            this.execute(action)
    return Outcome(
        target=target,
        name=image.name,
        location=this.id,
        version=image.id[:12],
        sha256=image.sha256,
        uploaded=any(isinstance(action, Upload) for action in actions),
        actions=tuple(map(str, actions)),
        retired=tuple(this.retired),
        in_use=tuple(this.in_use),
        dry_run=options.dry_run,
    )


def _wanted(image: Image, options: Options) -> Wanted:
    if image.format != "qcow2":
        raise BadInput("Glance is for disks; this is a container image.", "Publish it with --to oci://….")
    if options.projects and options.visibility != "shared":
        raise BadInput("--share requires an image that is shared.", "Add --visibility shared.")
    found = properties.of(image)
    return Wanted(image.name, found, options.visibility, options.projects, options.previous, options.keep)


def _still_uploaded(name: str, images: Sequence[Json]) -> BakeryError:
    ids = " ".join(image["id"] for image in images if image["status"] in _BUSY)
    return BakeryError(
        f"Another publication of {name} uploads to {ids}.",
        "Wait until it has ended, and publish again. If it is dead, delete what it has left: "
        f"openstack image delete {ids}.",
    )


def _current(there: Sequence[Found]) -> str:
    """The id of the image that has the content; "" if it is to be uploaded."""
    return next((one.id for one in there if one.is_whole and not one.is_unfinished), "")


@dataclass
class _Publication:
    """The state of one execution: `id` is that of the published image, once it is known."""

    image: Image
    wanted: Wanted
    connection: Connection
    monitor: Monitor
    id: str = ""
    retired: list[str] = field(default_factory=list)
    in_use: list[str] = field(default_factory=list)
    _digests: dict[str, str] = field(default_factory=dict)

    @property
    def images(self) -> Images:
        return Images(self.connection)

    # --- what is there ---

    def there(self) -> list[Found]:
        """All images of ours with this name, when none of them is being uploaded.

        Raises BakeryError: one still is. Its client may be alive, so it is not deleted.
        """
        images: list[Json] = []

        def uploading() -> list[Json]:
            images[:] = self.images.of_name(self.wanted.name)
            return [image for image in images if image["status"] in _BUSY]

        try:
            wait_until("the end of other uploads", uploading, lambda found: not found, _SETTLE_SECONDS)
        except NotProven:
            raise _still_uploaded(self.wanted.name, images) from None
        return [self._found(image) for image in images]

    def _found(self, image: Json) -> Found:
        asks = image["visibility"] == "shared" and self.wanted.projects
        return Found(
            id=image["id"],
            name=image["name"] or "",
            status=image["status"],
            hidden=image["os_hidden"],
            visibility=image["visibility"],
            created=image["created_at"],
            properties={key: value for key, value in image.items() if isinstance(value, str)},
            is_whole=self._is_whole(image),
            members=self.images.members(image["id"]) if asks else frozenset(),
        )

    def _is_whole(self, image: Json) -> bool:
        """Whether Glance's checksum of the data is that of the file."""
        algorithm = image.get("os_hash_algo")
        if image["status"] != "active" or not algorithm or image["size"] != self.image.size:
            return False
        return bool(image["os_hash_value"] == self._digest(algorithm))

    def _digest(self, algorithm: str) -> str:
        if algorithm not in self._digests:
            with phase(self.monitor, f"compute the {algorithm} of the image"):
                self._digests[algorithm] = digest.of(self.image.path, algorithm)
        return self._digests[algorithm]

    # --- what is done ---

    def execute(self, action: plans.Action) -> None:
        match action:
            case DeleteUnfinished(id):
                self.images.delete(id)
            case Create(name):
                self.id = self.images.create(self._attributes(name))
            case Upload(id):
                self.id = id or self.id
                self._upload()
            case Update(id, name):
                self.id = id or self.id
                self._update(name)
            case Share(id, project):
                self.images.share(id or self.id, project)
            case Hide(id):
                self.images.change(id, {"os_hidden": True})
            case Rename(id, name):
                self.images.change(id, {"name": name, "os_hidden": False})
            case Retire(id):
                self._retire(id)

    def _attributes(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "disk_format": "qcow2",
            "container_format": "bare",
            "visibility": "private",
            "os_hidden": True,
            "min_disk": -(-qemu_img.virtual_size(self.image.path) // _GIB),
            **self.wanted.properties,
        }

    def _upload(self) -> None:
        with phase(self.monitor, "upload the image"), Data.opened(self.image.path, self.monitor) as data:
            self.images.upload(self.id, data)
        stored = self.images.get(self.id)
        if not self._is_whole(stored):
            self.images.delete(self.id)
            raise WrongChecksum(
                f"Glance has stored other data than were sent: {stored['size']} bytes, "
                f"{stored['os_hash_algo']} {stored['os_hash_value']}.",
                "The image was deleted. Publish it again.",
            )

    def _update(self, name: str) -> None:
        shown = {"name": name, "os_hidden": False, "visibility": self.wanted.visibility}
        self.images.change(self.id, {**shown, **self.wanted.properties})

    def _retire(self, id: str) -> None:
        from openstack import exceptions

        if self._has_servers(id):
            self.in_use.append(id)
            return
        try:
            self.images.delete(id)
            self.retired.append(id)
        except exceptions.ConflictException:  # a volume is a copy-on-write clone of it
            self.in_use.append(id)
        except exceptions.ForbiddenException as error:
            warn(self.monitor, f"The old image {id} was not deleted: {error.details or error}.")

    def _has_servers(self, id: str) -> bool:
        """Whether a server that we may see was started from the image."""
        from openstack import exceptions

        if not self.connection.has_service("compute"):
            note(self.monitor, f"The cloud has no compute service to ask whether a server uses {id}.")
            return False
        compute = self.connection.compute
        try:
            return any(compute.servers(details=False, all_projects=True, image=id))
        except exceptions.ForbiddenException:
            note(self.monitor, "Only the servers of this project can be seen.")
            return any(compute.servers(details=False, image=id))
