"""From what is asked for to a plan: ask the cloud what it has, and check both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bakery.fleet import marks, plan
from bakery.fleet.api import Api
from bakery.fleet.marks import Mark
from bakery.fleet.plan import Flavor, Image, Limits, Plan
from bakery.userdata import pools, request, token
from bakery.userdata.rendering import WorkerConf
from bakery.userdata.request import UserData
from provisioner.errors import BadInput
from provisioner.events import note
from provisioner.process.scrub import hide

if TYPE_CHECKING:
    from bakery.catalogue.published import Published
    from provisioner.events import Monitor


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The servers that are asked for. `spread` is in seconds; a network of "" is the only one.

    `image` is the name or the id of one in the cloud, unless there is `published`, of a catalogue.
    `root_volume` is the size in GiB of a volume that each server boots from; 0 for none.
    """

    image: str
    flavor: str
    count: int
    network: str = ""
    spread: float = 0.0
    kind: str = "osg"
    published: Published | None = None
    root_volume: int = 0


@dataclass(frozen=True)
class Found:
    """What the cloud has for them; `network` is an id."""

    image: Image
    flavor: Flavor
    network: str
    limits: Limits


def find(wanted: Wanted, api: Api) -> Found:
    """Find image, flavor, network and limits, and check that the servers are possible.

    Raises BadInput; Refused: the quota has no room.
    """
    flavor, image = api.flavor(wanted.flavor), _image(wanted, api)
    plan.check_image(image, flavor, wanted.kind, wanted.root_volume)
    network = plan.choose_network(api.networks(), wanted.network)
    limits = api.limits(volumes=bool(wanted.root_volume))
    plan.check_quota(limits, flavor, wanted.count, wanted.root_volume)
    return Found(image, flavor, network, limits)


def _image(wanted: Wanted, api: Api) -> Image:
    """The image in the cloud; without an id if it is to be uploaded. Raises BadInput."""
    if wanted.published is None:
        return api.image(wanted.image)
    missing = Image("", wanted.published.title, kind=wanted.published.kind)
    return api.image_of(wanted.published.sha256) or missing


def with_image(made: Plan, wanted: Wanted, api: Api, cloud: str, monitor: Monitor) -> Plan:
    """Return the plan with its image in the cloud, a cloud of clouds.yaml; upload it if it is missing.

    Raises BadInput: the flavor is too small; Unreachable, WrongChecksum, DiskFull, Refused.
    """
    if made.image.id or wanted.published is None:
        return made
    from bakery.publish.glance import copying
    from bakery.store.store import Store, default_root

    def check(min_disk: int) -> None:
        image = replace(made.image, min_disk=min_disk)
        plan.check_image(image, made.flavor, wanted.kind, wanted.root_volume)

    note(
        monitor,
        f"The cloud {cloud} does not have {wanted.published} yet: it is uploaded, for your project.",
    )
    id = copying.copy(wanted.published, cloud, Store(default_root()), monitor, check)
    return replace(made, image=api.image(id))


def plan_of(launch: str, wanted: Wanted, found: Found, made: UserData) -> Plan:
    """Return the plan; its user-data is hidden from messages from now on. Raises BadInput."""
    mark = mark_of(launch, made.conf)
    plan.check_metadata(mark)
    groups, each = plan.server_groups(launch, wanted.count, found.limits)
    complete = Plan(
        mark=mark,
        names=marks.names(mark.group, launch, wanted.count),
        image=found.image,
        flavor=found.flavor,
        network=found.network,
        user_data=made.payload,
        server_groups=groups,
        servers_per_group=each,
        spread=wanted.spread,
        root_volume=wanted.root_volume,
    )
    hide(complete.encoded_user_data(""))
    return complete


def mark_of(launch: str, conf: WorkerConf) -> Mark:
    """Return the marks of the servers, from the worker's file."""
    known = request.pool_of(conf)
    hosts = (known.query_host, *known.managers) if known else pools.addresses(request.managers_of(conf))
    join, lifetime = (int(request.setting_of(conf, key)) for key in ("JoinTimeout", "MaxLifetime"))
    pool = ",".join(dict.fromkeys(hosts))
    if conf.kind == "prominence":
        group, cloud, region = (conf.settings[name] for name in ("NodeGroup", "Cloud", "Region"))
        return Mark(launch, group, pool, join, lifetime, cloud, region)
    return Mark(launch, conf.group_name, pool, join, lifetime)


def check_token(conf: WorkerConf, spread: float, now: float) -> None:
    """Raise BadInput if the token ends before the last server starts; times are in seconds.

    That it is valid now, and for the lifetime of a worker, is a check of the user-data.
    """
    claims = token.claims_of(conf.token) if conf.token else None
    if spread and claims and claims.expires is not None and claims.expires < now + spread:
        raise BadInput(
            f"The token expires on {token.format_time(claims.expires)}, before the last server starts "
            "(--spread).",
            "Get a new token, or use a shorter --spread.",
        )
