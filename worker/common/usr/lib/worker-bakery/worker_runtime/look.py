"""One look at the worker: what is the matter, and what decides about it."""

import os
import time
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Tuple

from worker_runtime import advertised, condor, join, life, machine, observe, places, settings
from worker_runtime.advertised import Told
from worker_runtime.followed import Reading
from worker_runtime.kind import Kind
from worker_runtime.life import Facts, Limits, Memory
from worker_runtime.stopped import LEFT



class Service(NamedTuple):
    """Who runs HTCondor: systemd on a machine, `worker run` in a container."""

    kind: Kind
    began: float  # time.monotonic()
    unit: Callable[[], Dict[str, str]]  # what observe.unit() says
    order: Callable[[str], None]  # carry out what life.way_out() says
    reading: Callable[[], Reading]  # of the worker's file
    reader: Callable[[], str]  # who reads it when it has changed, see followed.pending()


class Seen(NamedTuple):
    at: float  # when the look began, time.monotonic()
    epoch: float  # the same as seconds since 1970
    facts: Facts
    limits: Limits
    values: Mapping[str, str]
    reading: Reading
    wanted: advertised.Wanted  # what the pool is to show
    shown: Optional[observe.Shown]  # what it does; None: not asked, or no answer
    health: Mapping[str, Any]  # health.Report; empty: not looked at yet


def look(memory: Memory, told: Told, service: Service) -> Seen:
    """All of it belongs to one configuration: if another is taken up meanwhile, once more."""
    before = service.reading()
    seen = _look(memory, told, service, before)
    if service.reading() == before:
        return seen
    before = service.reading()
    seen = _look(memory, told, service, before)
    # Not for ever: systemd's watchdog waits. What changed again is said to be waited for.
    return seen._replace(reading=before._replace(now=service.reading().now))


def _look(memory: Memory, told: Told, service: Service, reading: Reading) -> Seen:
    at, epoch, values = time.monotonic(), time.time(), settings.current()
    mine, unit = observe.slots(), service.unit()
    configured = observe.changed_at(settings.PUBLISHED)
    here = Facts(
        now=at - service.began,
        configured=configured,
        unit=unit.get("ActiveState", ""),
        left=os.path.exists(LEFT) or observe.leaves(unit),
        startd=mine.startd if mine else "",
        claimed=mine.claimed if mine else 0,
        in_pool=None,
        obstacle="",
    )
    # A startd that is about to be stopped or told something is not the one that the pool is to show.
    wanted = advertised.wanted(service.kind, values, configured, None if ordered(unit) else mine)
    joined, shown = bool(life.remember(memory, here).joined), None
    if mine and configured and not (joined and advertised.done(told, wanted)):
        shown = observe.in_collector(values["CentralManager"], mine, wanted.attributes())
    if configured and not joined:
        here = asked(here, values["CentralManager"], shown, service.kind.token_file)
    limits = life.limits(values, retirement(values))
    return Seen(at, epoch, here, limits, values, reading, wanted, shown, machine.read(places.HEALTH))


def asked(
    facts: Facts, manager: str, shown: Optional[observe.Shown], token_file: str
) -> Facts:
    """Is it in the pool, and if not, why? A pool may show its workers to nobody but take them."""
    if shown and shown.known:
        return facts._replace(in_pool=True)
    obstacle = join.problem(manager, token_file) or ""
    taken = shown is None and bool(facts.startd) and not obstacle
    return facts._replace(in_pool=taken, obstacle=obstacle)


def ordered(unit: Mapping[str, str]) -> bool:
    """Has systemd still to carry out an order to start, stop or reload HTCondor?"""
    return unit.get("Job", "") not in ("", "0")


def retirement(values: Mapping[str, str]) -> float:
    return float(condor.ends(values, 0) - condor.retires(values, 0))


def followed_files(kind: Kind) -> Callable[[], Tuple[float, ...]]:
    """When those changed last for which a look would not wait its turn."""
    return lambda: tuple(observe.changed_at(path) for path in (places.HEALTH, kind.file))
