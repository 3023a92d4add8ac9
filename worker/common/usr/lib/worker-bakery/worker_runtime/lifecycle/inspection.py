"""One look at the worker: what is the matter, and what decides about it."""

import time
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from worker_runtime.configuration import condor_config, instance, servers, settings
from worker_runtime.configuration.applied import FileStatus
from worker_runtime.configuration.kind import Kind
from worker_runtime.configuration.servers import Server
from worker_runtime.lifecycle import advertisement, join, observe, states
from worker_runtime.lifecycle.advertisement import Progress
from worker_runtime.lifecycle.join import Answers
from worker_runtime.lifecycle.states import Facts, Limits, Memory
from worker_runtime.system import exit_marker, files, paths


class Service(NamedTuple):
    """Who runs HTCondor: systemd on a machine, `worker run` in a container."""

    kind: Kind
    began: float  # time.monotonic()
    unit: Callable[[], Dict[str, str]]  # what observe.unit() says
    order: Callable[[str], None]  # carry out what life.way_out() says
    reading: Callable[[], FileStatus]  # of the worker's file
    reader: Callable[[], str]  # who reads it when it has changed, see followed.pending()


class Inspection(NamedTuple):
    at: float  # when the look began, time.monotonic()
    epoch: float  # the same as seconds since 1970
    facts: Facts
    limits: Limits
    values: Mapping[str, str]
    reading: FileStatus
    wanted: advertisement.Expected  # what the pool is to show
    shown: Optional[observe.PoolAds]  # what it does; None: not asked, or no answer
    health: Mapping[str, Any]  # health.Report; empty: not looked at yet
    answers: Answers = Answers()  # of the pool's servers


class Previous(NamedTuple):
    """What the looks before this one leave to it."""

    memory: Memory
    told: Progress
    answers: Answers
    wanted: bool = False  # does somebody wait for this look


def inspect(before: Previous, service: Service) -> Inspection:
    """All of it belongs to one configuration: if another is taken up meanwhile, once more."""
    reading = service.reading()
    seen = _inspect_once(before, service, reading)
    if service.reading() == reading:
        return seen
    reading = service.reading()
    seen = _inspect_once(before, service, reading)
    # Not for ever: systemd's watchdog waits. What changed again is said to be waited for.
    return seen._replace(reading=reading._replace(now=service.reading().now))


def _inspect_once(before: Previous, service: Service, reading: FileStatus) -> Inspection:
    at, epoch, values = time.monotonic(), time.time(), settings.current()
    mine, unit = observe.slots(), service.unit()
    configured = files.modified_at(settings.PUBLISHED)
    here = Facts(
        now=at - service.began,
        configured=configured,
        unit=unit.get("ActiveState", ""),
        exited=exit_marker.exists() or observe.is_exiting(unit),
        startd=mine.startd if mine else "",
        claimed=mine.claimed if mine else 0,
        in_pool=None,
        obstacle="",
    )
    # A startd that is about to be stopped or told something is not the one that the pool is to show.
    wanted = advertisement.expected(
        service.kind, values, configured, None if has_pending_job(unit) else mine
    )
    joined, shown = bool(states.update_memory(before.memory, here).joined), None
    pool = servers.all_servers(service.kind.pools, values, instance.machine_number()) if configured else ()
    if mine and configured and not (joined and advertisement.is_done(before.told, wanted)):
        managers = [one.address for one in pool if not one.is_broker]
        shown = observe.query_pool(managers, mine, wanted.attributes())
    answers = server_answers(before, pool, joined or bool(shown and shown.known), service.kind, values)
    if configured and not joined:
        here = with_pool_state(here, shown, answers)
    limits, health = states.limits(values, retirement_seconds(values)), files.read_json(paths.HEALTH)
    return Inspection(at, epoch, here, limits, values, reading, wanted, shown, health, answers)


def server_answers(
    before: Previous, pool: Sequence[Server], joined: bool, kind: Kind, values: Mapping[str, str]
) -> Answers:
    """What the pool's servers say: now to a worker that is not in the pool, else now and then."""
    now = time.monotonic()
    if not pool or (joined and not join.is_due(before.answers, pool, now, before.wanted)):
        return before.answers if pool else Answers()
    return join.ask_all(pool, kind.token_file, servers.trust_domain(kind.pools, values), now)


def with_pool_state(facts: Facts, shown: Optional[observe.PoolAds], answers: Answers) -> Facts:
    """Is it in the pool, and if not, why? A pool may show its workers to nobody but take them."""
    if shown and shown.known:
        return facts._replace(in_pool=True)
    obstacle = join.obstacle(answers)
    taken = shown is None and bool(facts.startd) and not obstacle
    return facts._replace(in_pool=taken, obstacle=obstacle or join.broker_problem(answers))


def has_pending_job(unit: Mapping[str, str]) -> bool:
    """Has systemd still to carry out an order to start, stop or reload HTCondor?"""
    return unit.get("Job", "") not in ("", "0")


def retirement_seconds(values: Mapping[str, str]) -> float:
    return float(condor_config.end_time(values, 0) - condor_config.retirement_time(values, 0))


def file_times(kind: Kind) -> Callable[[], Tuple[float, ...]]:
    """When those changed last for which a look would not wait its turn."""
    return lambda: tuple(files.modified_at(path) for path in (paths.HEALTH, kind.file))
