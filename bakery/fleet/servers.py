"""A server of Nova as a value. Pure.

The fields are those of Nova's API 2.52 (docs.openstack.org/api-ref/compute, "List Servers Detailed").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bakery.fleet import marks
from bakery.fleet.marks import Mark

RUNNING = 1  # OS-EXT-STS:power_state
OFF = ("SHUTOFF", "STOPPED", "SUSPENDED", "PAUSED", "SHELVED", "SHELVED_OFFLOADED")
_DELETING = ("deleting", "soft-deleting")  # OS-EXT-STS:task_state
GONE = ("DELETED", "SOFT_DELETED")


@dataclass(frozen=True)
class Server:
    """A server that we launched; `status` is Nova's, times are seconds since 1970.

    `deleting` is whether it is being deleted, `changed` when the status last changed. `image` is an id;
    `size` is that of its group while the group is being replaced, else 0.
    """

    id: str
    name: str
    mark: Mark
    status: str
    flavor: str
    created: float
    changed: float
    running: bool = False
    deleting: bool = False
    locked: bool = False
    fault: str = ""
    image: str = ""
    size: int = 0


def of(found: Mapping[str, Any], project: str) -> Server | None:
    """Return a server of Nova's JSON; None for one that is not ours, or of another project."""
    mark = marks.of(found.get("tags") or (), found.get("metadata") or {})
    if mark is None or found.get("tenant_id") != project:
        return None
    created = seconds(found["created"])
    return Server(
        id=found["id"],
        name=found["name"],
        mark=mark,
        status=found["status"],
        flavor=(found.get("flavor") or {}).get("original_name", ""),
        created=created,
        changed=seconds(found["updated"]) if found.get("updated") else created,
        running=found.get("OS-EXT-STS:power_state") == RUNNING,
        deleting=found["status"] in GONE or found.get("OS-EXT-STS:task_state") in _DELETING,
        locked=bool(found.get("locked")),
        fault=str((found.get("fault") or {}).get("message", "")),
        image=_image(found),
        size=marks.size_of(found.get("metadata") or {}),
    )


def _image(found: Mapping[str, Any]) -> str:
    """The id of the image; Nova has "" for a server that boots from a volume, and we have metadata."""
    return str(
        (found.get("image") or {}).get("id", "") or (found.get("metadata") or {}).get(marks.IMAGE, "")
    )


def seconds(text: str) -> float:
    """Return the seconds since 1970 of a time of Nova, which is UTC."""
    return datetime.fromisoformat(text.removesuffix("Z") + "+00:00").timestamp()
