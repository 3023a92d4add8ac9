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
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

_NAME = re.compile(r"worker-bakery-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
# With it, Nova lets a user delete servers; an application credential needs no more of the user's roles.
_ROLE = "member"


@dataclass(frozen=True)
class Used:
    """An application credential of a server, with the ids of its access rules."""

    id: str
    server: str
    rules: tuple[str, ...]


def text(*, auth_url: str, user: str, secret: str, compute: str) -> str:
    """Return the value of ServerCredential; `user` is an id, the addresses are those of /v3 and /v2.1."""
    about = {"auth_url": auth_url, "user": user, "secret": secret, "compute": compute}
    return base64.urlsafe_b64encode(json.dumps(about).encode()).decode()


# Of the usual length, to check user-data with it.
EXAMPLE = text(
    auth_url="https://keystone.example.org:5000/v3", user="0" * 32, secret="0" * 43,
    compute="https://nova.example.org:8774/v2.1",
)  # fmt: skip


def name(server: str) -> str:
    return f"worker-bakery-{server}"


def description(region: str) -> str:
    """Return what tells our application credentials of a region from all others."""
    return f"worker-bakery: lets a server of the region {region or '-'} delete itself"


def access_rule(server: str, compute: str) -> dict[str, str]:
    """Return the only call that is permitted; Keystone's middleware compares the path of the request."""
    path = f"{urlsplit(compute).path.rstrip('/')}/servers/{server}"
    return {"service": "compute", "method": "DELETE", "path": path}


def body(
    server: str, secret: str, *, compute: str, region: str, roles: Iterable[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the request for the application credential of a server; `roles` are those of our token."""
    needed = [{"id": role["id"]} for role in roles if role["name"] == _ROLE]
    about = {
        "name": name(server),
        "secret": secret,
        "description": description(region),
        "access_rules": [access_rule(server, compute)],
        "unrestricted": False,
        **({"roles": needed} if needed else {}),
    }
    return {"application_credential": about}


def is_restricted(made: Mapping[str, Any], server: str, compute: str) -> bool:
    """Return whether what Keystone has made permits nothing else. Before Train, it ignored access rules."""
    rules = [{key: one.get(key) for key in access_rule("", "")} for one in made.get("access_rules") or ()]
    return rules == [access_rule(server, compute)] and made.get("unrestricted") is False


def ours(found: Iterable[Mapping[str, Any]], *, project: str, region: str) -> list[Used]:
    """Return the application credentials of our servers of a project and a region.

    `found` are those of a user, which may be of anything.
    """
    named = ((one, _NAME.fullmatch(str(one.get("name")))) for one in found)
    return [
        Used(one["id"], match[1], tuple(rule["id"] for rule in one.get("access_rules") or ()))
        for one, match in named
        if match and one.get("project_id") == project and one.get("description") == description(region)
    ]


def without(used: Iterable[Used], servers: Collection[str]) -> list[Used]:
    """Return those whose servers are not among these."""
    return [one for one in used if one.server not in servers]
