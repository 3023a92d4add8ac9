"""The marks by which servers that we launched are found again: names, tags and metadata. Pure.

Only a server with both, our tags and our metadata of the same launch, is ours. No mark has a secret: every
user of the project, and the server itself, can read them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

TAG = "worker-bakery"
PREFIX = "worker_bakery_"
SIZE = f"{PREFIX}size"  # of a group, on its servers while they are being replaced
IMAGE = f"{PREFIX}image"  # the image of a server with a root volume, of which Nova knows none
LONGEST = 255  # characters of a value of Nova's metadata
_LAUNCH = re.compile(r"[0-9a-f]{12}")
_SERVER_GROUP = re.compile(rf"{TAG}-([0-9a-f]{{12}})-[0-9]{{1,6}}(?:-at-([0-9]{{1,12}}))?")
_SLUG = 40  # characters, so that names are host names of at most 63
# Percent-encoded: MySQL's utf8 lacks some characters, and Nova then fails with status 500.
_AS_THEY_ARE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


@dataclass(frozen=True)
class Mark:
    """What the marks of a server say.

    `launch` is the id of the launch, `group` the WorkerGroupName, `pool` the collectors as
    HOST[:PORT][,HOST…]; `join` and `lifetime` are the worker's JoinTimeout and MaxLifetime in seconds,
    0 for none. A worker of PROMINENCE has a `cloud` and a `region`, and `group` is its node group.
    """

    launch: str
    group: str
    pool: str
    join: int = 0
    lifetime: int = 0
    cloud: str = ""
    region: str = ""

    @property
    def tags(self) -> tuple[str, ...]:
        return TAG, launch_tag(self.launch)

    @property
    def metadata(self) -> dict[str, str]:
        values = {
            "launch": self.launch,
            "group": quote(self.group, safe=_AS_THEY_ARE),
            "pool": self.pool,
            "join": str(self.join),
            "lifetime": str(self.lifetime),
            **{name: quote(text, safe=_AS_THEY_ARE) for name, text in self._prominence.items()},
        }
        return {f"{PREFIX}{name}": value for name, value in values.items()}

    @property
    def _prominence(self) -> dict[str, str]:
        return {"cloud": self.cloud, "region": self.region} if self.cloud else {}


def launch_tag(launch: str) -> str:
    return f"{TAG}-{launch}"


def of(tags: Collection[str], metadata: Mapping[str, str]) -> Mark | None:
    """Return what the marks say; None for a server that is not ours."""
    values = {name: metadata.get(f"{PREFIX}{name}", "") for name in ("launch", "group", "pool")}
    numbers = [metadata.get(f"{PREFIX}{name}", "") for name in ("join", "lifetime")]
    launch = values["launch"]
    if not _LAUNCH.fullmatch(launch) or not {TAG, launch_tag(launch)} <= set(tags):
        return None
    if not all(re.fullmatch(r"[0-9]{1,12}", number) for number in numbers):
        return None
    join, lifetime = map(int, numbers)
    cloud, region = (unquote(metadata.get(f"{PREFIX}{name}", "")) for name in ("cloud", "region"))
    return Mark(launch, unquote(values["group"]), values["pool"], join, lifetime, cloud, region)


def size_of(metadata: Mapping[str, str]) -> int:
    """Return the size of the group that is being replaced; 0 if none is."""
    text = metadata.get(SIZE, "")
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else 0


def names(group: str, launch: str, count: int) -> tuple[str, ...]:
    """Return the names of the servers of a launch: host names, by which their slots are found, too."""
    slug = re.sub(r"[^a-z0-9]+", "-", group.lower())[:_SLUG].strip("-") or "worker"
    return tuple(f"{slug}-{launch}-{number}" for number in range(1, count + 1))


def server_group(launch: str, number: int) -> str:
    return f"{launch_tag(launch)}-{number}"


def dated(group: str, at: float) -> str:
    """Return the name with which a server group is made at this time (seconds since 1970).

    Nova gives a server group neither tags nor a date.
    """
    return f"{group}-at-{int(at)}"


def launch_of_group(name: str) -> str:
    """Return the launch that has made the server group of this name; "" if none of ours has."""
    found = _SERVER_GROUP.fullmatch(name)
    return found[1] if found else ""


def date_of_group(name: str) -> int | None:
    """Return when a server group of ours was made, in seconds since 1970; None if that is not known."""
    found = _SERVER_GROUP.fullmatch(name)
    return int(found[2]) if found and found[2] else None
