"""Delete servers that we launched, and the server groups that are empty then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bakery.fleet import marks
from bakery.fleet.api import Api
from bakery.fleet.servers import Server
from bakery.machines.conditions import Condition, wait
from provisioner.errors import NotProven
from provisioner.events import Monitor, phase, warn

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
    asked = set()
    with phase(monitor, f"delete {len(servers)} servers"):
        for server in servers:
            try:
                api.delete(server)
                asked.add(server.id)
            except exceptions.ConflictException as error:
                warn(monitor, f"{server.name} was not deleted: {error.details or error}")
        left = _left(api, asked)
    if left:
        warn(monitor, f"Still being deleted after {_GONE:g} s: {', '.join(left)}.")
    return [server for server in servers if server.id not in asked or server.id in left]


def _left(api: Api, asked: set[str]) -> list[str]:
    """Wait until the servers have gone; return the ids of those that have not."""
    there: list[str] = sorted(asked)

    def none_is_left() -> bool:
        there[:] = sorted(asked & {server.id for server in api.servers()})
        return not there

    try:
        wait(Condition("the servers have gone", none_is_left, _GONE), interval=_INTERVAL)
    except NotProven:
        return there
    return []


def delete_empty_groups(api: Api, launches: Iterable[str]) -> None:
    """Delete the empty server groups of these launches; others may be about to get their first server."""
    ours = set(launches)
    for group in api.server_groups():
        if marks.launch_of_group(group["name"]) in ours and not group.get("members"):
            api.delete_server_group(group["id"])
