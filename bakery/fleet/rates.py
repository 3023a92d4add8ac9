"""What servers cost: rates of flavors per hour, and the shares of them in other states. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bakery.fleet.servers import Server
from bakery.runtime import toml
from provisioner import did_you_mean
from provisioner.errors import BadInput

_KEYS = ("unit", "source", "date", "flavors", "states")


@dataclass(frozen=True)
class Rates:
    """`flavors` has the price per hour in `unit` of a running server, `states` shares by Nova's status.

    A status that `states` does not have is charged as if the server ran.
    """

    unit: str
    source: str
    date: str
    flavors: Mapping[str, float]
    states: Mapping[str, float] = field(default_factory=dict)

    def share(self, status: str) -> float:
        return self.states.get(status, 1.0)

    def per_hour(self, server: Server) -> float | None:
        """Return what a server costs now; None if the table does not have its flavor."""
        price = self.flavors.get(server.flavor)
        return None if price is None else price * self.share(server.status)

    def so_far(self, server: Server, now: float) -> float | None:
        """Return what a server has cost, as if it had run until its status last changed."""
        price = self.flavors.get(server.flavor)
        if price is None:
            return None
        before = max(0.0, min(server.changed, now) - server.created)
        since = max(0.0, now - server.created) - before
        return price * (before + self.share(server.status) * since) / 3600


# One SU is a vCPU for an hour; large memory and GPU count twice. The flavors with L40S and H100 are left
# out: their rates differ between the sources that we could read.
JETSTREAM2 = Rates(
    unit="SU",
    source="docs.jetstream-cloud.org/general/instance-flavors and /general/access",
    date="2026-11",
    flavors={
        "m3.tiny": 1,
        "m3.small": 2,
        "m3.quad": 4,
        "m3.medium": 8,
        "m3.large": 16,
        "m3.xl": 32,
        "m3.2xl": 64,
        "m3.3xl": 128,
        "r3.large": 128,
        "r3.xl": 256,
        "g3.medium": 16,
        "g3.large": 32,
        "g3.xl": 64,
    },
    states={
        "SHUTOFF": 0.5,
        "SUSPENDED": 0.75,
        "SHELVED": 0.0,
        "SHELVED_OFFLOADED": 0.0,
        "DELETED": 0.0,
        "SOFT_DELETED": 0.0,
    },
)


def of_cloud(auth_url: str) -> Rates | None:
    """Return the rates of a cloud that we know by the address of its Keystone."""
    host = urlsplit(auth_url).hostname or ""
    return JETSTREAM2 if f".{host}".endswith(".jetstream-cloud.org") else None


def parse(text: str, name: str) -> Rates:
    """Return the rates of a TOML file; `name` is for messages. Raises BadInput.

    unit = "EUR", source = "…" and date = "…" (optional), a table [flavors] of prices per hour, and a table
    [states] of shares between 0 and 1 (optional).
    """
    try:
        table = toml.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{name} is not valid TOML: {error}.") from None
    if unknown := [key for key in table if key not in _KEYS]:
        hint = did_you_mean.hint(unknown, _KEYS, f"The keys are {', '.join(_KEYS)}.")
        raise BadInput(f"{name}: there is no key {unknown[0]!r}.", hint)
    texts = {key: table.get(key, "") for key in ("unit", "source", "date")}
    if not texts["unit"] or not all(isinstance(one, str) and one.isprintable() for one in texts.values()):
        raise BadInput(f"{name}: unit is missing, or a text is not a string.", 'Write unit = "EUR".')
    flavors = _numbers(table.get("flavors"), f"{name}: [flavors]")
    states = _numbers(table.get("states", {}), f"{name}: [states]", most=1.0)
    if not flavors:
        raise BadInput(
            f"{name} has no [flavors].", "Write a price per hour for each flavor: m1.small = 0.05"
        )
    return Rates(flavors=flavors, states={one.upper(): share for one, share in states.items()}, **texts)


def _numbers(table: Any, where: str, most: float = float("inf")) -> dict[str, float]:
    if not isinstance(table, dict):
        raise BadInput(f"{where} is missing.", "Write a table of numbers.")
    for key, value in table.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            upper = "" if most == float("inf") else f" to {most:g}"
            raise BadInput(f"{where}: {key} must be a number from 0{upper}.")
    return {key: float(value) for key, value in table.items()}


def total(prices: Iterable[float | None]) -> float | None:
    """Return the sum; None if a price is not known."""
    found = list(prices)
    return None if None in found else sum(price for price in found if price is not None)


def amount(price: float | None, unit: str) -> str:
    """Return a price as text: `40 SU`, `0.12 EUR`, or `?`."""
    if price is None:
        return "?"
    return f"{price:.0f} {unit}" if price >= 100 or price == int(price) else f"{price:.2f} {unit}"
