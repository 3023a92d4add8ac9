"""The workers of a launch: options -> token and user-data, checked before the cloud is connected to."""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bakery.commands import userdata, userdata_options
from bakery.commands.command_line.settings import Settings
from bakery.commands.fleet import common
from provisioner.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bakery.commands.userdata_options import Options
    from bakery.fleet.states import Member
    from bakery.userdata.asked import Asked
    from bakery.userdata.request import Delivery, Request, UserData


@dataclass(frozen=True)
class Worker:
    """The user-data of a launch, checked, and what it was generated from."""

    launch: str
    asked: Asked
    request: Request
    delivery: Delivery
    made: UserData

    def again(self) -> Worker:
        """Return the worker of another launch, checked again: the token may have ended. Raises BadInput."""
        from bakery.userdata import asked, request

        made = request.generate(self.request, self.delivery, self.asked.policy(time.time()))
        asked.refuse(made)
        return replace(self, launch=os.urandom(6).hex(), made=made)


def asked_for(options: argparse.Namespace, settings: Settings) -> Options:
    """Return what is asked for of the workers. Raises BadInput."""
    if options.worker == "prominence":
        _set_place(options)
    return userdata_options.of_request(options, settings)


def generated(options: argparse.Namespace, asked: Options) -> Worker:
    """Read the token, and generate and check the user-data, without the cloud.

    Raises BadInput: a value is missing or invalid, the token cannot be read, or has ended.
    """
    from bakery.fleet import preparing, rates
    from bakery.fleet.self_deletion import preparation
    from bakery.userdata.request import Delivery

    launch, texts = os.urandom(6).hex(), asked.asked.texts
    if texts.worker == "osg":
        texts = replace(texts, group_name=texts.group_name or f"fleet-{launch}")
    auth_url, settings = common.described(options).auth_url, asked.asked.settings
    settings = preparation.with_credential(settings) if preparation.is_asked(settings) else settings
    named = replace(asked, asked=replace(asked.asked, texts=texts, settings=settings))
    cloud = "jetstream2" if rates.of_cloud(auth_url) else "openstack"
    delivery = Delivery(cloud=cloud)
    request, made = userdata.generated(named, lambda: delivery)
    preparing.check_token(made.conf, common.seconds_of(options.spread), time.time())
    return Worker(launch, named.asked, request, delivery, made)


def refuse_deletion(asked: Options) -> None:
    """Raise BadInput if the servers are to delete themselves: another program makes them."""
    from bakery.fleet.self_deletion import preparation

    if preparation.is_asked(asked.asked.settings):
        raise BadInput(
            "fleet export does not support --on-idle delete: each server requires a credential of its own, "
            "which fleet launch makes when the server has been made.",
            "Omit it, or use --set ServerCredentialCommand=PROGRAM.",
        )


def refuse_prominence(members: Iterable[Member], what: str) -> None:
    """Raise BadInput if there are workers of PROMINENCE: their options are those of fleet launch alone."""
    if any(one.server.mark.cloud for one in members):
        raise BadInput(
            f"The group has workers of PROMINENCE, which fleet {what} does not launch.",
            "Use fleet launch --worker prominence, and fleet delete.",
        )


def _set_place(options: argparse.Namespace) -> None:
    """A worker of PROMINENCE says in which cloud and region it is: by default, those of clouds.yaml."""
    if options.cloud is None:
        options.cloud = common.cloud_of(options)
    if options.region is None:
        options.region = common.described(options).region or None
