"""One look at the worker: what is the matter, and what decides about it."""

import os
import time
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from worker_runtime import advertised, condor, join, life, machine, observe, places, servers, settings
from worker_runtime.advertised import Told
from worker_runtime.followed import Reading
from worker_runtime.join import Answers
from worker_runtime.kind import Kind
from worker_runtime.life import Facts, Limits, Memory
from worker_runtime.servers import Server
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
    answers: Answers = Answers()  # of the pool's servers


class Before(NamedTuple):
    """What the looks before this one leave to it."""

    memory: Memory
    told: Told
    answers: Answers
    wanted: bool = False  # does somebody wait for this look


def look(before: Before, service: Service) -> Seen:
    """All of it belongs to one configuration: if another is taken up meanwhile, once more."""
    reading = service.reading()
    seen = _look(before, service, reading)
    if service.reading() == reading:
        return seen
    reading = service.reading()
    seen = _look(before, service, reading)
    # Not for ever: systemd's watchdog waits. What changed again is said to be waited for.
    return seen._replace(reading=reading._replace(now=service.reading().now))


def _look(before: Before, service: Service, reading: Reading) -> Seen:
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
    joined, shown = bool(life.remember(before.memory, here).joined), None
    pool = servers.all_of(service.kind.pools, values, machine.draw()) if configured else ()
    if mine and configured and not (joined and advertised.done(before.told, wanted)):
        managers = [one.address for one in pool if not one.is_broker]
        shown = observe.in_pool(managers, mine, wanted.attributes())
    answers = answered(before, pool, joined or bool(shown and shown.known), service.kind, values)
    if configured and not joined:
        here = in_the_pool(here, shown, answers)
    limits, health = life.limits(values, retirement(values)), machine.read(places.HEALTH)
    return Seen(at, epoch, here, limits, values, reading, wanted, shown, health, answers)


def answered(
    before: Before, pool: Sequence[Server], joined: bool, kind: Kind, values: Mapping[str, str]
) -> Answers:
    """What the pool's servers say: now to a worker that is not in the pool, else now and then."""
    now = time.monotonic()
    if not pool or (joined and not join.due(before.answers, pool, now, before.wanted)):
        return before.answers if pool else Answers()
    return join.answers(pool, kind.token_file, servers.trust_domain(kind.pools, values), now)


def in_the_pool(facts: Facts, shown: Optional[observe.Shown], answers: Answers) -> Facts:
    """Is it in the pool, and if not, why? A pool may show its workers to nobody but take them."""
    if shown and shown.known:
        return facts._replace(in_pool=True)
    obstacle = join.obstacle(answers)
    taken = shown is None and bool(facts.startd) and not obstacle
    return facts._replace(in_pool=taken, obstacle=obstacle or join.unbrokered(answers))


def ordered(unit: Mapping[str, str]) -> bool:
    """Has systemd still to carry out an order to start, stop or reload HTCondor?"""
    return unit.get("Job", "") not in ("", "0")


def retirement(values: Mapping[str, str]) -> float:
    return float(condor.ends(values, 0) - condor.retires(values, 0))


def followed_files(kind: Kind) -> Callable[[], Tuple[float, ...]]:
    """When those changed last for which a look would not wait its turn."""
    return lambda: tuple(observe.changed_at(path) for path in (places.HEALTH, kind.file))
