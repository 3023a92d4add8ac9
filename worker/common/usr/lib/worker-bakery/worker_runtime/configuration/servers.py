"""The servers of a pool: central managers, which collect the ads, and connection brokers (CCB). Pure.

An address is HOST[:PORT][?sock=NAME], as HTCondor accepts it. NAME may end in LOW-HIGH, the notation of
glideinWMS for several servers behind one port: each worker uses one of them, always the same.
"""

import re
from typing import Any, Mapping, NamedTuple, Optional, Sequence, Tuple

PORT = 9618
_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
ADDRESS = re.compile(
    r"(?P<host>{label}(\.{label})*\.?|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{{1,5}}))?"
    r"(\?sock=(?P<name>[A-Za-z0-9_.]+?)((?P<low>[0-9]{{1,5}})-(?P<high>[0-9]{{1,5}}))?)?\Z".format(
        label=_LABEL
    )
)


class Pool(NamedTuple):
    """A row of pools.json. `…_socket` follows ?sock= in the addresses; "": the addresses have none."""

    name: str
    managers: Tuple[str, ...]
    manager_socket: str
    brokers: Tuple[str, ...]
    broker_socket: str
    trust_domain: str  # "": unknown


class Server(NamedTuple):
    """A server that the worker connects to."""

    is_broker: bool
    address: str  # with the socket of this worker


def pools(table: Mapping[str, Any]) -> Tuple[Pool, ...]:
    """The rows of pools.json."""
    return tuple(
        Pool(
            row["name"],
            tuple(row["managers"]),
            row["manager_socket"],
            tuple(row["brokers"]),
            row["broker_socket"],
            row["trust_domain"],
        )
        for row in table["pools"]
    )


def addresses(text: str) -> Tuple[str, ...]:
    """The addresses in a list with commas."""
    return tuple(one.strip(" \t") for one in text.split(",")) if text else ()


def managers(known: Sequence[Pool], values: Mapping[str, str], selector: int) -> Tuple[str, ...]:
    """The addresses of the collectors; `selector` chooses one of several sockets."""
    given = addresses(values["CentralManager"])
    pool = pool_of(known, given)
    socket = pool.manager_socket if pool else ""
    return tuple(_with_one_socket(_with_socket(one, socket), selector) for one in given)


def brokers(known: Sequence[Pool], values: Mapping[str, str], selector: int) -> Tuple[str, ...]:
    """The brokers of the worker's file; otherwise those of a known pool; otherwise the managers."""
    given = addresses(values["CCBAddress"])
    pool = pool_of(known, addresses(values["CentralManager"]))
    if not given and pool:
        given = tuple(_with_socket(one, pool.broker_socket) for one in pool.brokers)
    return tuple(_with_one_socket(one, selector) for one in given) or managers(known, values, selector)


def trust_domain(known: Sequence[Pool], values: Mapping[str, str]) -> str:
    """The issuer of the pool's tokens; "" if unknown."""
    pool = pool_of(known, addresses(values["CentralManager"]))
    return values["TrustDomain"] or (pool.trust_domain if pool else "")


def all_servers(known: Sequence[Pool], values: Mapping[str, str], selector: int) -> Tuple[Server, ...]:
    """All servers, each once: a manager that is also the broker counts as a manager."""
    first = managers(known, values, selector)
    more = (one for one in brokers(known, values, selector) if one not in first)
    return (*(Server(False, one) for one in first), *(Server(True, one) for one in more))


def pool_of(known: Sequence[Pool], given: Sequence[str]) -> Optional[Pool]:
    """The known pool whose managers include all these addresses, at their default port."""
    hosts = {host_of(one).lower().rstrip(".") for one in given if port_of(one) == PORT}
    rows = (pool for pool in known if hosts <= set(pool.managers))
    return next(rows, None) if len(hosts) == len(given) > 0 else None


def host_of(address: str) -> str:
    """The host of an address; the whole text if it is not an address."""
    match = ADDRESS.match(address)
    return match.group("host") if match else address


def port_of(address: str) -> int:
    """The port of an address, PORT by default."""
    match = ADDRESS.match(address)
    return int(match.group("port") or PORT) if match else PORT


def without_socket(address: str) -> str:
    """HOST[:PORT]: a query finds all ads there, whichever socket they were sent to."""
    return address.partition("?")[0]


def _with_socket(address: str, socket: str) -> str:
    if not socket or "?" in address:
        return address
    return "%s:%d?sock=%s" % (host_of(address), port_of(address), socket)


def _with_one_socket(address: str, selector: int) -> str:
    match = ADDRESS.match(address)
    if not match or not match.group("low"):
        return address
    low, high = int(match.group("low")), int(match.group("high"))
    return "%s%d" % (address[: match.start("low")], low + selector % (high - low + 1))
