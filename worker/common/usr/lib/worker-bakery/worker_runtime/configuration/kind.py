"""Loads the kind of this worker, which is data: kind.json and keys.json."""

import json
import os
from typing import Any, Dict, Mapping, NamedTuple, Tuple

from worker_runtime.configuration import servers
from worker_runtime.system import paths

POOLS = os.path.join(paths.DATA, "pools.json")  # the same for all kinds of workers


class Key(NamedTuple):
    """A row of keys.json."""

    name: str  # as the worker's file spells it
    kind: str  # of the value, see values.py
    required: bool
    default: str
    instead_of: str  # the required key that this key can replace
    setting: str  # its name in the runtime, the same for all kinds of workers
    advertise: str  # the attribute of the slots' ads that shows it
    start: str  # its requirement on jobs; %s is the value as ClassAd text
    variable: str  # the variable that stands for it in a container


class Kind(NamedTuple):
    """A kind of worker: names, files, keys and what follows from them."""

    name: str  # of units, files and messages
    file: str  # the worker's file
    form: str  # the format of that file: conf or environment, see worker_file.py
    keys: Tuple[Key, ...]
    restricted: Mapping[str, str]  # attributes of a worker that does not accept all jobs
    parallel_group: str  # the attribute that groups machines for parallel jobs
    home: str  # the directory of the job files; "": HTCondor's default
    tokens: str = paths.TOKENS  # HTCondor's directory of tokens
    # The user's directory of tokens, which are only read; "": all tokens belong to the worker.
    user_tokens: str = ""
    pools: Tuple[servers.Pool, ...] = ()  # the pools whose brokers and trust domain are known
    ospool: Mapping[str, Any] = {}  # ospool.json, in an image with the role ospool

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
        """The name of the key with this setting, as the user spells it."""
        return next((key.name for key in self.keys if key.setting == setting), setting)


def load() -> Kind:
    """The kind of this worker."""
    return with_ospool(from_tables(_read("kind.json"), _read("keys.json"), _read(POOLS)))


def with_ospool(kind: Kind) -> Kind:
    """With the table of the role ospool, if the image has that role."""
    there = os.path.exists(os.path.join(paths.DATA, "ospool.json"))
    return kind._replace(ospool=_read("ospool.json")) if there else kind


def from_tables(kind: Mapping[str, Any], table: Mapping[str, Any], pools: Mapping[str, Any]) -> Kind:
    """The kind of these tables: kind.json, keys.json and pools.json."""
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
    return Key(*named, *meant, row.get("variable", row["key"]))


def _read(name: str) -> Dict[str, Any]:
    with open(os.path.join(paths.DATA, name), encoding="utf-8") as file:
        found: Dict[str, Any] = json.load(file)
        return found
