"""From what is asked for to a plan: ask the cloud what it has, and check both."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from bakery.fleet import marks, plan
from bakery.fleet.api import Api
from bakery.fleet.marks import Mark
from bakery.fleet.plan import Flavor, Image, Limits, Own, Plan
from bakery.fleet.self_deletion.keystone import Keystone
from bakery.userdata import pools, request
from bakery.userdata.keys import SERVER_CREDENTIAL
from bakery.userdata.rendering import WorkerConf
from bakery.userdata.request import Delivery, Request, UserData
from provisioner.process.scrub import hide


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The servers that are asked for. `spread` is in seconds; a network of "" is the only one."""

    image: str
    flavor: str
    count: int
    network: str = ""
    spread: float = 0.0
    kind: str = "osg"


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
    flavor, image = api.flavor(wanted.flavor), api.image(wanted.image)
    plan.check_image(image, flavor, wanted.kind)
    network = plan.choose_network(api.networks(), wanted.network)
    limits = api.limits()
    plan.check_quota(limits, flavor, wanted.count)
    return Found(image, flavor, network, limits)


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
    )
    for secret in dict.fromkeys(complete.secrets):
        hide(secret)
    return complete


@dataclass(frozen=True)
class Deletable:
    """Servers that can delete themselves: by name, the secret of each, and its ServerCredential."""

    secrets: Mapping[str, str] = field(repr=False)
    texts: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, names: Iterable[str], keystone: Keystone) -> Deletable:
        """Choose the secrets; servers and credentials are made later."""
        chosen = {name: secrets.token_urlsafe(32) for name in names}
        return cls(chosen, {name: keystone.text(secret) for name, secret in chosen.items()})

    def own(self, asked: Request, delivery: Delivery) -> dict[str, Own]:
        """Return the user-data of each server, with its own credential."""
        return {
            name: Own(request.payload_of(_with_credential(asked, text), delivery), self.secrets[name])
            for name, text in self.texts.items()
        }


def _with_credential(asked: Request, text: str) -> Request:
    return replace(asked, settings={**asked.settings, SERVER_CREDENTIAL: text})


def with_own(plan: Plan, own: Mapping[str, Own]) -> Plan:
    """Return the plan with what is different in servers; all of it is hidden from messages."""
    complete = replace(plan, own=own)
    for secret in complete.secrets:
        hide(secret)
    return complete


def mark_of(launch: str, conf: WorkerConf) -> Mark:
    """Return the marks of the servers, from the worker's file."""
    known = request.pool_of(conf)
    hosts = (known.query_host, *known.managers) if known else pools.addresses(request.managers_of(conf))
    join, lifetime = (int(request.setting_of(conf, key)) for key in ("JoinTimeout", "MaxLifetime"))
    return Mark(launch, conf.group_name, ",".join(dict.fromkeys(hosts)), join, lifetime)
