"""Delete servers that we launched, and the server groups that are empty then."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from bakery.fleet import marks
from bakery.fleet.api import Api
from bakery.fleet.servers import Server
from bakery.runtime.conditions import Condition, wait
from provisioner.errors import NotProven
from provisioner.events import Monitor, phase, warn
from provisioner.process.scrub import scrub

_GONE = 300.0  # seconds until deleted servers have gone
_INTERVAL = 1.0  # seconds between two queries for the servers


def delete_all(api: Api, servers: Sequence[Server], monitor: Monitor) -> list[Server]:
    """Delete the servers and wait until they have gone; return those that are still there.

    A server that has gone already, or that the cloud does not delete, stops nothing. Raises the exceptions
    of openstacksdk.
    """
    from openstack import exceptions

    if not servers:
        return []
    refused: dict[str, str] = {}
    with phase(monitor, f"delete {len(servers)} servers"):
        for server in servers:
            try:
                api.delete(server)
            except exceptions.HttpException as error:
                if error.status_code != 409 and (error.status_code or 500) < 500:
                    raise
                refused[server.id] = str(error.details or error)
        # Somebody else may have deleted what was refused.
        there = _left(api, {server.id for server in servers})
    for id, after in there.items():
        why = refused.get(id) or after.fault or f"it is {after.status} after {_GONE:g} s"
        warn(monitor, f"{after.name} was not deleted: {scrub(why)}")
    return [server for server in servers if server.id in there]


def _left(api: Api, ids: Collection[str]) -> dict[str, Server]:
    """Wait until the servers have gone; return those that have not, by id.

    A server that could not be deleted is one again, usually in ERROR: it is not waited for.
    """
    there: dict[str, Server] = {}

    def none_is_being_deleted() -> bool:
        there.clear()
        there.update((server.id, server) for server in api.servers() if server.id in ids)
        return not any(server.deleting for server in there.values())

    with suppress(NotProven):
        wait(Condition("the servers have gone", none_is_being_deleted, _GONE), interval=_INTERVAL)
    return there


def delete_groups(api: Api, groups: Iterable[Mapping[str, Any]]) -> None:
    """Delete server groups; their servers, if there are any, stay."""
    for group in groups:
        api.delete_server_group(group["id"])


def delete_empty_groups(api: Api, launches: Iterable[str]) -> None:
    """Delete the empty server groups of these launches; others may be about to get their first server."""
    ours = set(launches)
    for group in api.server_groups():
        if marks.launch_of_group(group["name"]) in ours and not group.get("members"):
            api.delete_server_group(group["id"])
