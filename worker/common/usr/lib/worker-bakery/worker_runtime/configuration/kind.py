"""What kind of worker this is: all that the runtime has to know of it is data, kind.json and keys.json."""

import json
import os
from typing import Any, Dict, Mapping, NamedTuple, Tuple

from worker_runtime.configuration import servers
from worker_runtime.system import paths

POOLS = os.path.join(paths.DATA, "pools.json")  # the same for all kinds


class Key(NamedTuple):
    """A row of keys.json."""

    name: str  # as the worker's file spells it
    kind: str  # of the value, see values.py
    required: bool
    default: str
    instead_of: str  # the required key that this one can stand for
    setting: str  # what the runtime knows it by: the same for all kinds of workers
    advertise: str  # the attribute as which the slots' ads show it
    start: str  # what it demands of jobs; %s is the value as ClassAd text


class Kind(NamedTuple):
    name: str  # of units, files and messages
    file: str  # the worker's own
    form: str  # of that file: conf or environment, see conf.py
    keys: Tuple[Key, ...]
    restricted: Mapping[str, str]  # attributes of a worker that is not for everybody's jobs
    parallel_group: str  # the attribute by which machines belong together to a parallel job
    home: str  # where the jobs' files are; "": HTCondor's own place
    tokens: str = paths.TOKENS  # HTCondor's own folder of them
    # Where the user has his, which stay as they are, like his other files; "": all of them are ours.
    given: str = ""
    pools: Tuple[servers.Pool, ...] = ()  # those of which the brokers and the rest are known
    ospool: Mapping[str, Any] = {}  # ospool.json, of an image that has the role ospool; else nothing

    @property
    def unit(self) -> str:
        return self.name + ".service"

    @property
    def token_file(self) -> str:
        return "%s/%s.token" % (self.tokens, self.name)

    @property
    def config_name(self) -> str:
        return "90-%s.config" % self.name

    def key(self, setting: str) -> str:
        """What the user calls it."""
        return next((key.name for key in self.keys if key.setting == setting), setting)


def load() -> Kind:
    """This worker's."""
    return with_ospool(from_tables(_read("kind.json"), _read("keys.json"), _read(POOLS)))


def with_ospool(kind: Kind) -> Kind:
    """With what the image's role ospool has to say, if it has that role."""
    there = os.path.exists(os.path.join(paths.DATA, "ospool.json"))
    return kind._replace(ospool=_read("ospool.json")) if there else kind


def from_tables(kind: Mapping[str, Any], table: Mapping[str, Any], pools: Mapping[str, Any]) -> Kind:
    return Kind(
        kind["name"],
        table["file"],
        table["form"],
        tuple(_key(row) for row in table["keys"]),
        kind["restricted"],
        kind["parallel_group"],
        kind["home"],
        pools=servers.pools(pools),
    )


def _key(row: Mapping[str, Any]) -> Key:
    named = (row["key"], row["kind"], row["required"], row["default"], row.get("instead_of", ""))
    meant = (row.get("setting", row["key"]), row.get("advertise", ""), row.get("start", ""))
    return Key(*named, *meant)


def _read(name: str) -> Dict[str, Any]:
    with open(os.path.join(paths.DATA, name), encoding="utf-8") as file:
        found: Dict[str, Any] = json.load(file)
        return found
