"""The credential of a server: what the worker's file has, and what Keystone is asked for. Pure.

A server's id is known only when it has been made, with its user-data. So the secret is chosen before, and
the application credential is made afterwards: its name and its access rule have the id. The worker
composes the name itself (worker_runtime/lifecycle/self_deletion.py).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

_NAME = re.compile(r"worker-bakery-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def text(*, auth_url: str, user: str, secret: str, region: str) -> str:
    """Return the value of ServerCredential; `user` is an id, a region of "" is the first."""
    about = {"auth_url": auth_url, "user": user, "secret": secret, "region": region}
    return base64.urlsafe_b64encode(json.dumps(about).encode()).decode()


def name(server: str) -> str:
    return f"worker-bakery-{server}"


def gone(
    found: Iterable[Mapping[str, Any]], there: Collection[str], *, project: str, region: str
) -> list[str]:
    """Return the ids of the application credentials whose servers have gone.

    `found` are those of a user, which may be of anything and of other projects and regions; `there` are the
    ids of the servers of this project and region.
    """
    ours = (
        one
        for one in found
        if one.get("project_id") == project and one.get("description") == description(region)
    )
    named = ((one["id"], _NAME.fullmatch(one["name"])) for one in ours)
    return [id for id, name in named if name and name[1] not in there]


def description(region: str) -> str:
    """Return what tells our credentials of a region from all others."""
    return f"worker-bakery: lets a server of the region {region or '-'} delete itself"


def body(server: str, secret: str, path: str, region: str) -> dict[str, Any]:
    """Return the request for the application credential of a server of a region.

    `path` is that of Nova's endpoint, such as /v2.1: Keystone compares the path of each request.
    """
    rule = {"service": "compute", "method": "DELETE", "path": f"{path.rstrip('/')}/servers/{server}"}
    about = {
        "name": name(server),
        "secret": secret,
        "description": description(region),
        "access_rules": [rule],
        "unrestricted": False,
    }
    return {"application_credential": about}
