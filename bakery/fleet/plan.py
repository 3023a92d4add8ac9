"""What a launch makes, from what is asked for and what the cloud has. Pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bakery.fleet import marks
from bakery.fleet.marks import Mark
from provisioner.errors import BadInput, Refused

SECURITY_GROUP = "worker-bakery"
# The limit of Nova or Cinder for each, and how much of it is used.
_LIMITS = {
    "servers": ("maxTotalInstances", "totalInstancesUsed"),
    "vCPUs": ("maxTotalCores", "totalCoresUsed"),
    "MiB of memory": ("maxTotalRAMSize", "totalRAMUsed"),
    "volumes": ("maxTotalVolumes", "totalVolumesUsed"),
    "GiB of volumes": ("maxTotalVolumeGigabytes", "totalGigabytesUsed"),
}
# Properties that publish gives an image, and the end of its name while it is uploaded.
KIND, SHA256, UPLOADING = "worker_bakery_kind", "worker_bakery_sha256", "-uploading"


@dataclass(frozen=True)
class Image:
    """An image in Glance, and the least disk (GiB) and memory (MiB) of its servers.

    An image that is still to be uploaded has no id, and its disk is not known yet.
    """

    id: str
    name: str
    status: str = "active"
    min_disk: int = 0
    min_ram: int = 0
    kind: str = ""


@dataclass(frozen=True)
class Flavor:
    """A flavor of Nova: memory in MiB, disk in GiB (0: that of the image)."""

    id: str
    name: str
    vcpus: int
    ram: int
    disk: int


@dataclass(frozen=True)
class Limits:
    """The absolute limits of a project in Nova, and how much is used; -1 is without a limit."""

    values: Mapping[str, int]

    def left(self, most: str, used: str) -> int | None:
        """Return how many there may be more; None without a limit."""
        limit = self.values.get(most, -1)
        return None if limit < 0 else max(0, limit - self.values.get(used, 0))


@dataclass(frozen=True)
class Own:
    """The user-data of a server that deletes itself, and the secret of its application credential."""

    user_data: bytes = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Plan:
    """A launch. `user_data` is secret; `servers_per_group` is 0 without server groups.

    `spread` is the time in seconds over which the servers are started; `size` is that of the group if it is
    being replaced, else 0. `root_volume` is the size in GiB of a volume from which each server boots; 0: it
    boots from the disk of its flavor. `own` has what is different in servers that delete themselves, by
    their names.
    """

    mark: Mark
    names: tuple[str, ...]
    image: Image
    flavor: Flavor
    network: str
    user_data: bytes = field(repr=False)
    server_groups: tuple[str, ...] = ()
    servers_per_group: int = 0
    spread: float = 0.0
    size: int = 0
    root_volume: int = 0
    own: Mapping[str, Own] = field(default_factory=dict, repr=False)

    def encoded_user_data(self, name: str) -> str:
        """Return the user-data of a server as Nova receives it; it is secret."""
        data = self.own[name].user_data if name in self.own else self.user_data
        return base64.b64encode(data).decode()

    def server_group(self, place: int) -> str:
        """Return the name of the server group of the server at this place; "" for none."""
        number = place // self.servers_per_group if self.servers_per_group else len(self.server_groups)
        return self.server_groups[number] if number < len(self.server_groups) else ""

    def body(self, name: str, security_group: str, server_group: str) -> dict[str, Any]:
        """Return the request that creates a server; the groups are ids."""
        server = {
            "name": name,
            **self._root(),
            "flavorRef": self.flavor.id,
            "networks": [{"uuid": self.network}],
            "security_groups": [{"name": security_group}],
            "user_data": self.encoded_user_data(name),
            "metadata": {**self.mark.metadata, **self._more_metadata()},
            "tags": list(self.mark.tags),
        }
        hints = {"os:scheduler_hints": {"group": server_group}} if server_group else {}
        return {"server": server, **hints}

    def _root(self) -> dict[str, Any]:
        """What the server boots from; a volume is deleted with its server."""
        if not self.root_volume:
            return {"imageRef": self.image.id}
        volume = {
            "boot_index": 0,
            "uuid": self.image.id,
            "source_type": "image",
            "destination_type": "volume",
            "volume_size": self.root_volume,
            "delete_on_termination": True,
        }
        return {"block_device_mapping_v2": [volume]}

    def _more_metadata(self) -> dict[str, str]:
        size = {marks.SIZE: str(self.size)} if self.size else {}
        return {**size, **({marks.IMAGE: self.image.id} if self.root_volume else {})}


def check_image(image: Image, flavor: Flavor, kind: str, root_volume: int = 0) -> None:
    """Raise BadInput if no worker of this kind can start from the image with the flavor.

    `root_volume` is the size in GiB of the volume that it boots from; 0: from the disk of the flavor.
    """
    if image.status != "active":
        raise BadInput(f"The image {image.name} is {image.status}, not active.", "Publish it again.")
    if image.kind and image.kind != kind:
        raise BadInput(
            f"The image {image.name} is for {image.kind} workers, not {kind}.", "Choose another image."
        )
    _check_disk(image, flavor, root_volume)
    if image.min_ram > flavor.ram:
        raise BadInput(
            f"The flavor {flavor.name} has {flavor.ram} MiB of memory; the image {image.name} requires "
            f"{image.min_ram} MiB.",
            "Choose a larger flavor.",
        )


def _check_disk(image: Image, flavor: Flavor, root_volume: int) -> None:
    if root_volume:
        if image.min_disk > root_volume:
            raise BadInput(
                f"--root-volume {root_volume}: the image {image.name} requires {image.min_disk} GiB.",
                f"Use --root-volume {image.min_disk}, or more.",
            )
    elif flavor.disk and image.min_disk > flavor.disk:
        raise BadInput(
            f"The flavor {flavor.name} has a disk of {flavor.disk} GiB; the image {image.name} requires "
            f"{image.min_disk} GiB.",
            "Choose a larger flavor, or use --root-volume.",
        )


def check_quota(limits: Limits, flavor: Flavor, count: int, root_volume: int = 0) -> None:
    """Raise Refused if the quota of the project has no room for the servers, and their root volumes.

    For volumes, `limits` has the limits of Cinder, too.
    """
    each = {"servers": 1, "vCPUs": flavor.vcpus, "MiB of memory": flavor.ram}
    if root_volume:
        each |= {"volumes": 1, "GiB of volumes": root_volume}
    left = {what: limits.left(*_LIMITS[what]) for what in each}
    short = {
        what: found for what, found in left.items() if found is not None and count * each[what] > found
    }
    if not short:
        return
    texts = [
        f"{count * each[what]} {what} are requested, {found} are left" for what, found in short.items()
    ]
    most = min(found // max(1, each[what]) for what, found in short.items())
    raise Refused(
        f"The quota of the project is too small: {'; '.join(texts)}.",
        f"Use --count {most}, delete servers (fleet reap), or ask for a larger quota."
        if most
        else "Delete servers (fleet reap), or ask for a larger quota.",
    )


def check_metadata(mark: Mark) -> None:
    """Raise BadInput for a group name or pool that Nova's metadata cannot hold."""
    group = "--node-group" if mark.cloud else "--group-name"
    flags = {"group": group, "pool": "--pool", "cloud": "--worker-cloud", "region": "--region"}
    for name, value in mark.metadata.items():
        if len(value) > marks.LONGEST:
            what = flags[name.removeprefix(marks.PREFIX)]
            raise BadInput(f"{what} is too long for the metadata of a server.", "Use a shorter name.")


def server_groups(launch: str, count: int, limits: Limits) -> tuple[tuple[str, ...], int]:
    """Return the names of server groups, and the number of servers in each.

    Nova limits both (by default to 10): a large launch has several groups, and servers beyond them none.
    """
    most = limits.values.get("maxServerGroupMembers", -1)
    each = count if most < 0 else min(most, count)
    left = limits.left("maxServerGroups", "totalServerGroupsUsed")
    if count < 2 or each < 2 or left == 0:
        return (), 0
    needed = -(-count // each)
    number = needed if left is None else min(needed, left)
    return tuple(marks.server_group(launch, one) for one in range(1, number + 1)), each


def choose_network(found: Sequence[Mapping[str, Any]], wanted: str) -> str:
    """Return the id of the network of this name or id, or of the only one. Raises BadInput."""
    usable = [one for one in found if not one.get("router:external")]
    named = [one for one in found if wanted in (one["name"], one["id"])] if wanted else usable
    if len(named) == 1:
        return str(named[0]["id"])
    known = ", ".join(sorted(one["name"] or one["id"] for one in usable)) or "none"
    if wanted:
        what = f"{len(named)} networks have the name" if named else "There is no network"
        raise BadInput(f"{what} {wanted!r}.", f"Use --network with one of these, or an id: {known}.")
    raise BadInput("The network of the servers is not clear.", f"Use --network with one of these: {known}.")
