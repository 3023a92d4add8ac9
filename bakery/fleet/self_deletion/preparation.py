"""A launch of servers that delete themselves: each has a secret, and user-data of its own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace

from bakery.fleet.api import Api
from bakery.fleet.plan import Own, Plan
from bakery.fleet.self_deletion import credential
from bakery.fleet.self_deletion.keystone import Keystone
from bakery.userdata import request
from bakery.userdata.keys import CREDENTIAL_COMMAND, SERVER_CREDENTIAL
from bakery.userdata.request import Delivery, Request
from provisioner.process.scrub import hide


def is_asked(settings: Mapping[str, str]) -> bool:
    """Return whether the settings of the workers require credentials from us."""
    return settings.get("OnIdle") == "delete" and CREDENTIAL_COMMAND not in settings


def is_wanted(asked: Request) -> bool:
    """Return whether the user-data is that of `with_credential`."""
    return SERVER_CREDENTIAL in asked.settings


def with_credential(settings: Mapping[str, str], text: str = credential.EXAMPLE) -> dict[str, str]:
    """Return the settings with a credential; by default an example, with which they can be checked."""
    return {**settings, SERVER_CREDENTIAL: text}


def with_own(plan: Plan, asked: Request, delivery: Delivery, api: Api) -> Plan:
    """Return the plan with the user-data of each server; all of it is hidden from messages.

    Raises Refused: Keystone would not make the application credentials.
    """
    keystone = Keystone(api)
    keystone.check()

    def own() -> Own:
        secret = secrets.token_urlsafe(32)
        text = keystone.text(secret)
        settings = with_credential(asked.settings, text)
        hide(secret)
        hide(text)
        return Own(request.payload_of(replace(asked, settings=settings), delivery), secret)

    complete = replace(plan, own={name: own() for name in plan.names})
    for name in plan.names:
        hide(complete.encoded_user_data(name))
    return complete
