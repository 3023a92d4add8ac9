"""The pools by their names: those that the worker itself knows (pools.json), and a site's own.

The table lies with the worker's runtime, in JSON, because the worker reads it too, with a Python that knows
no TOML: what gen-userdata says of a pool and what the worker makes of it are one text. A site writes its
own into a file of TOML, by default ~/.config/worker-bakery/pools.toml:

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

from bakery.userdata import guest, rendering
from provisioner import did_you_mean
from provisioner.errors import BadInput
from provisioner.process.scrub import scrub

VARIABLE = "WORKER_BAKERY_POOLS"
_NAME = r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?"
_SOCKET = r"[A-Za-z0-9_.]{1,64}(-[0-9]{1,5})?"
_LISTS = ("managers", "brokers", "sources")


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A pool. `…_socket` follows ?sock= in addresses; LOW-HIGH at its end: one of so many for each worker.

    `brokers` are those of connections (CCB), none: the managers are. `registry` is the URL where people get
    tokens, `condor_status` a host that answers queries, `sources` say since when and from where all that
    is known. What is empty is not known.
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
        """The worker's CentralManager."""
        return ",".join(_behind(host, self.manager_socket) for host in self.managers)

    @property
    def ccb_address(self) -> str:
        """The worker's CCBAddress; "" if the managers are the brokers, too."""
        hosts = self.brokers or (self.managers if self.broker_socket else ())
        return ",".join(_behind(host, self.broker_socket) for host in hosts)

    @property
    def asked(self) -> str:
        """What condor_status -pool takes."""
        return self.condor_status or self.managers[0]


@cache
def shipped() -> tuple[Pool, ...]:
    """The default is the first."""
    rows = _table()["pools"]
    found = [Pool(**{name: _frozen(value) for name, value in row.items()}) for row in rows]
    return tuple(sorted(found, key=lambda pool: pool.name != _table()["default"]))


def known() -> tuple[Pool, ...]:
    """A site's own first: of two with one name, the site's counts. Raises BadInput for a bad file."""
    path = _site()
    return (*(_of_site(path) if path else ()), *shipped())


def find(text: str) -> Pool | None:
    """The pool of this name; None for HOST[:PORT][,HOST…].

    Raises BadInput for a misspelled name, and for a name within a list.
    """
    pools = known()
    for pool in pools:
        if pool.name == text:
            return pool
    if listed := [one for one in addresses(text) if one in names(pools) and "," in text]:
        raise BadInput(
            f"{listed[0]} is the name of a pool, and a list is of hosts: a worker joins one pool.",
            f"Say --pool {listed[0]} alone; a host of that name is written {listed[0]}:9618.",
        )
    # A host may have a name without dots, too; but hardly one like a pool's.
    if not set(text) & set(".:[,") and did_you_mean.similar(text, names(pools)):
        there = f"There are {', '.join(names(pools))}; a host of that name is written HOST:9618."
        raise BadInput(f"There is no pool {scrub(text)!r}.", did_you_mean.hint([text], names(pools), there))
    return None


def names(pools: Sequence[Pool]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(pool.name for pool in pools))


def of_managers(central_manager: str, pools: Sequence[Pool]) -> Pool | None:
    """The pool of which all of these are managers."""
    wanted = {_host(address) for address in addresses(central_manager)}
    found = (pool for pool in pools if wanted and wanted <= {_host(host) for host in pool.managers})
    return next(found, None)


def addresses(text: str) -> tuple[str, ...]:
    """Of a list with commas, each as HOST[:PORT]."""
    return tuple(one.strip().partition("?")[0] for one in text.split(",") if one.strip())


def earlier(central_manager: str) -> str:
    """A sentence about a name that a pool had before; "" for any other."""
    for row in _table()["earlier"]:
        if row["host"] in map(_host, addresses(central_manager)):
            pool = next(pool for pool in shipped() if pool.name == row["pool"])
            return (
                f"{row['host']} was the central manager of {pool.title} and is its trust domain still, but "
                f"its managers today are {' and '.join(pool.managers)} (--pool {pool.name}, the default)."
            )
    return ""


def _host(address: str) -> str:
    return address.removesuffix(":9618").rstrip(".").casefold()


def _behind(host: str, socket: str) -> str:
    if not socket:
        return host
    return f"{host if _has_port(host) else f'{host}:9618'}?sock={socket}"


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]


@cache
def _table() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(guest.POOLS.read_text("utf-8"))
    return found


def _frozen(value: object) -> Any:
    return tuple(value) if isinstance(value, list) else value


# --- a site's own ------------------------------------------------------------------------------


def _site() -> Path | None:
    """Its file; None if there is none. Raises BadInput if one is named and is not there."""
    if named := os.environ.get(VARIABLE):
        if not Path(named).is_file():
            raise BadInput(f"{VARIABLE} names {named}, which is no file.", "Correct or unset it.")
        return Path(named)
    folder = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    path = Path(folder) / "worker-bakery" / "pools.toml"
    return path if path.is_file() else None


@cache
def _of_site(path: Path) -> tuple[Pool, ...]:
    import tomllib

    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:  # a mistake of TOML's, too, is a ValueError
        raise BadInput(f"{path} cannot be read: {error}.", "Correct it, or take it away.") from None
    rows = table.pop("pool", None)
    if table or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        wrong = f" and not {scrub(next(iter(table)))!r}" if table else ""
        raise BadInput(f"{path} has to consist of [[pool]] tables{wrong}.")
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
    """What is wrong with a row, and what to do about it."""
    fit = tuple(field.name for field in fields(Pool))
    for name, value in row.items():
        if name not in fit:
            yield f"{name!r} is not known", did_you_mean.hint([name], fit, f"There are {', '.join(fit)}.")
        elif name in _LISTS and not _is_list(value):
            yield f"{name} is not a list of texts", f'Write {name} = ["…", "…"].'
        elif name not in _LISTS and not isinstance(value, str):
            yield f"{name} is not a text", f'Write {name} = "…".'
        elif name in _FORMS and value and (said := _FORMS[name](value)):
            yield f"{name} {said}", ""
    for name in ("name", "managers"):
        if not row.get(name):
            yield f"{name} is missing", "A pool has at least a name and managers."


def _is_list(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _matches(pattern: str, otherwise: str, value: str) -> str:
    import re

    return "" if re.fullmatch(pattern, value) else otherwise


_FORMS = {
    "name": lambda text: _matches(_NAME, "is not of small letters, digits and dashes", text),
    "title": lambda text: _matches(r"[^\x00-\x1f\x7f]{1,80}", "is not one short line", text),
    "manager_socket": lambda text: _matches(_SOCKET, "is not like collector1-10", text),
    "broker_socket": lambda text: _matches(_SOCKET, "is not like collector1-10", text),
    "trust_domain": lambda text: guest.problem_with("domain", text) or "",
    "registry": lambda text: _matches(r"https://[!-~]{1,250}", "is not an https:// address", text),
    "condor_status": lambda text: guest.problem_with("hosts", text) or "",
}
