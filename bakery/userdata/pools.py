"""The named pools: the built-in ones (pools.json), and those of the site.

The built-in table is part of the worker's runtime, so gen-userdata and the worker use the same data. It is
JSON because Python 3.6 on a worker cannot read TOML. A site defines its own pools in a TOML file, by
default ~/.config/worker-bakery/pools.toml:

    [[pool]]
    name = "campus"
    managers = ["cm-1.example.edu", "cm-2.example.edu:9619"]
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from bakery.runtime import toml
from bakery.userdata import characters, guest, rendering
from provisioner import did_you_mean, named_file
from provisioner.errors import BadInput
from provisioner.process.scrub import scrub

VARIABLE = "WORKER_BAKERY_POOLS"
_NAME = r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"
_SOCKET = r"[A-Za-z0-9_.]{1,64}(-[0-9]{1,5})?"
_LISTS = ("managers", "brokers", "sources")


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A pool.

    `manager_socket` and `broker_socket` follow ?sock= in addresses; of a LOW-HIGH at the end, each worker
    uses one number. `brokers` are the CCB servers; if there are none, the managers are. `registry` is the
    URL where users get tokens, `condor_status` a host that answers queries, `sources` say where and when
    the facts were found. An empty value is unknown.
    """

    name: str
    managers: tuple[str, ...]
    title: str = ""
    manager_socket: str = ""
    brokers: tuple[str, ...] = ()
    broker_socket: str = ""
    trust_domain: str = ""
    registry: str = ""
    condor_status: str = ""
    sources: tuple[str, ...] = ()

    @property
    def central_manager(self) -> str:
        """The CentralManager of the worker's file."""
        return ",".join(_with_socket(host, self.manager_socket) for host in self.managers)

    @property
    def ccb_address(self) -> str:
        """The CCBAddress of the worker's file; "" if the managers are the CCB servers."""
        hosts = self.brokers or (self.managers if self.broker_socket else ())
        return ",".join(_with_socket(host, self.broker_socket) for host in hosts)

    @property
    def query_host(self) -> str:
        """The host for condor_status -pool."""
        return self.condor_status or self.managers[0]


@cache
def built_in() -> tuple[Pool, ...]:
    """Return the built-in pools; the first is the default."""
    rows = _table()["pools"]
    pools = [Pool(**{name: _frozen(value) for name, value in row.items()}) for row in rows]
    return tuple(sorted(pools, key=lambda pool: pool.name != _table()["default"]))


def known() -> tuple[Pool, ...]:
    """Return the pools of the site, which take precedence, then the built-in ones.

    Raises BadInput for an invalid file of the site.
    """
    path = _site_file()
    return (*(_site_pools(path) if path else ()), *built_in())


def find(text: str) -> Pool | None:
    """Return the pool of this name; None for HOST[:PORT][,HOST…].

    Raises BadInput for a misspelled name, and for the name of a pool in a list of hosts.
    """
    pools = known()
    for pool in pools:
        if pool.name == text:
            return pool
    if named := [one for one in addresses(text) if one in names(pools) and "," in text]:
        raise BadInput(
            f"{named[0]} is the name of a pool, which cannot be in a list of hosts.",
            f"Use --pool {named[0]} alone; write a host of that name as {named[0]}:9618.",
        )
    # The name of a host may have no dots either, but is unlikely to resemble that of a pool.
    if not set(text) & set(".:[,") and did_you_mean.similar(text, names(pools)):
        there = f"The pools are {', '.join(names(pools))}; write a host of that name as HOST:9618."
        hint = characters.removal(text) or did_you_mean.hint([text], names(pools), there)
        raise BadInput(f"There is no pool {scrub(text)!r}.", hint)
    return None


def names(pools: Sequence[Pool]) -> tuple[str, ...]:
    """Return the distinct names of the pools, in order."""
    return tuple(dict.fromkeys(pool.name for pool in pools))


def of_managers(central_manager: str, pools: Sequence[Pool]) -> Pool | None:
    """Return the pool that has all of these central managers; None if there is none."""
    hosts = {_host(address) for address in addresses(central_manager)}
    matching = (pool for pool in pools if hosts and hosts <= {_host(host) for host in pool.managers})
    return next(matching, None)


def addresses(text: str) -> tuple[str, ...]:
    """Return each address of a comma-separated list as HOST[:PORT]."""
    return tuple(one.strip().partition("?")[0] for one in text.split(",") if one.strip())


def former_manager_note(central_manager: str) -> str:
    """Return a sentence about a former central manager of a pool; "" for any other host."""
    for row in _table()["earlier"]:
        if row["host"] in map(_host, addresses(central_manager)):
            pool = next(pool for pool in built_in() if pool.name == row["pool"])
            return (
                f"{row['host']} is a former central manager of {pool.title} and still its trust domain;"
                f" its central managers are {' and '.join(pool.managers)} (--pool {pool.name}, the"
                " default)."
            )
    return ""


def _host(address: str) -> str:
    return address.removesuffix(":9618").rstrip(".").casefold()


def _with_socket(host: str, socket: str) -> str:
    if not socket:
        return host
    return f"{host if _has_port(host) else f'{host}:9618'}?sock={socket}"


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(guest.POOLS.read_text("utf-8"))
    return table


def _frozen(value: object) -> Any:
    return tuple(value) if isinstance(value, list) else value


# --- the pools of the site ---------------------------------------------------------------------


def _site_file() -> Path | None:
    """Return the path of the file; None if there is none.

    Raises BadInput if the variable names a file that does not exist.
    """
    if named := os.environ.get(VARIABLE):
        if not Path(named).is_file():
            raise BadInput(
                f"{VARIABLE} names {named}, which is not a file.", "Correct or unset the variable."
            )
        return Path(named)
    folder = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    path = Path(folder) / "worker-bakery" / "pools.toml"
    return path if path.is_file() else None


@cache
def _site_pools(path: Path) -> tuple[Pool, ...]:
    try:
        table = toml.loads(named_file.text(path))
    except (OSError, ValueError) as error:  # a TOMLDecodeError is a ValueError
        raise BadInput(f"{path} cannot be read: {error}.", "Correct or remove the file.") from None
    rows = table.pop("pool", None)
    if table or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        wrong = f", not {scrub(next(iter(table)))!r}" if table else ""
        raise BadInput(f"{path} must consist of [[pool]] tables{wrong}.")
    return tuple(_pool(row, f"{path}, pool {number}") for number, row in enumerate(rows, start=1))


def _pool(row: Mapping[str, Any], where: str) -> Pool:
    for problem, hint in _problems(row):
        raise BadInput(f"{where}: {problem}.", hint)
    pool = Pool(**{name: _frozen(value) for name, value in row.items()})
    for name, text in (("managers", pool.central_manager), ("brokers", pool.ccb_address)):
        if text:
            rendering.check_hosts(f"{where}: {name}", text)
    return pool


def _problems(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each problem of a row and its fix."""
    keys = tuple(field.name for field in fields(Pool))
    for name, value in row.items():
        if name not in keys:
            hint = did_you_mean.hint([name], keys, f"The keys are {', '.join(keys)}.")
            yield f"unknown key {name!r}", hint
        elif name in _LISTS and not _is_list(value):
            yield f"{name} is not a list of strings", f'Write {name} = ["…", "…"].'
        elif name not in _LISTS and not isinstance(value, str):
            yield f"{name} is not a string", f'Write {name} = "…".'
        elif name in _CHECKS and value and (problem := _CHECKS[name](value)):
            yield f"{name} {problem}", ""
    for name in ("name", "managers"):
        if not row.get(name):
            yield f"{name} is missing", "A pool requires a name and managers."


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _matches(pattern: str, otherwise: str, value: str) -> str:
    import re

    return "" if re.fullmatch(pattern, value) else otherwise


_CHECKS = {
    "name": lambda text: _matches(_NAME, "must consist of lower-case letters, digits and hyphens", text),
    "title": lambda text: _matches(
        r"[^\x00-\x1f\x7f]{1,80}", "must be one line of at most 80 characters", text
    ),
    "manager_socket": lambda text: _matches(_SOCKET, "must have the form collector1-10", text),
    "broker_socket": lambda text: _matches(_SOCKET, "must have the form collector1-10", text),
    "trust_domain": lambda text: guest.problem_with("domain", text) or "",
    "registry": lambda text: _matches(r"https://[!-~]{1,250}", "must be an https:// URL", text),
    "condor_status": lambda text: guest.problem_with("hosts", text) or "",
}
