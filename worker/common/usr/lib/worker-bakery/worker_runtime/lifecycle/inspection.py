"""Inspects the worker once: everything that its state depends on."""

import time
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from worker_runtime.configuration import condor_config, instance, servers, settings, token
from worker_runtime.configuration.applied import FileStatus
from worker_runtime.configuration.kind import Kind
from worker_runtime.configuration.servers import Server
from worker_runtime.lifecycle import advertisement, join, observe, preemption, renewal, states
from worker_runtime.lifecycle.advertisement import Progress
from worker_runtime.lifecycle.join import Answers
from worker_runtime.lifecycle.renewal import TokenTimes
from worker_runtime.lifecycle.states import Facts, Limits, Memory
from worker_runtime.system import exit_marker, files, paths


class Service(NamedTuple):
    """What runs HTCondor: systemd on a machine, `worker run` in a container."""

    kind: Kind
    began: float  # time.monotonic()
    unit: Callable[[], Dict[str, str]]  # see observe.condor_unit()
    order: Callable[[str], None]  # executes an action of states.next_action()
    reading: Callable[[], FileStatus]  # of the worker's file
    reader: Callable[[], str]  # who reads it when it has changed, see applied.pending()
    reread: Callable[[], None]  # has it read again although it has not changed


class Inspection(NamedTuple):
    """The result of one inspection."""

    at: float  # time.monotonic() at the beginning
    epoch: float  # the same as seconds since 1970
    facts: Facts
    limits: Limits
    values: Mapping[str, str]
    reading: FileStatus
    expected: advertisement.Expected  # what the pool should show
    pool_ads: Optional[observe.PoolAds]  # what the pool shows; None: not asked, or no answer
    health: Mapping[str, Any]  # jobs/health.py: Report; empty: no report yet
    answers: Answers = Answers()  # of the pool's servers
    token: TokenTimes = TokenTimes()


class Previous(NamedTuple):
    """What earlier inspections pass on to the next one."""

    memory: Memory
    progress: Progress
    answers: Answers
    requested: bool = False  # whether a client waits for this inspection


def inspect(before: Previous, service: Service) -> Inspection:
    """Inspect the worker; once more if a new configuration was applied in the meantime."""
    reading = service.reading()
    found = _inspect_once(before, service, reading)
    if service.reading() == reading:
        return found
    reading = service.reading()
    found = _inspect_once(before, service, reading)
    # Not forever, because of systemd's watchdog. A further change is reported as pending.
    return found._replace(reading=reading._replace(now=service.reading().now))


def _inspect_once(before: Previous, service: Service, reading: FileStatus) -> Inspection:
    at, epoch, values = time.monotonic(), time.time(), settings.current()
    mine, unit = observe.slots(), service.unit()
    configured = files.modified_at(settings.PUBLISHED)
    times = renewal.token_times(
        token.claims(files.read_text(service.kind.token_file).strip()),
        files.modified_at(service.kind.token_file),
    )
    expired = "the token expired on %s" % token.date(times.expires)
    here = Facts(
        now=at - service.began,
        configured=configured,
        unit=unit.get("ActiveState", ""),
        exited=exit_marker.exists() or observe.is_exiting(unit),
        startd=mine.startd if mine else "",
        claimed=mine.claimed if mine else 0,
        in_pool=None,
        obstacle="",
        expired=expired if configured and renewal.is_expired(times, epoch) else "",
        departure=departure(epoch - (at - service.began)),
    )
    # A startd that is about to be stopped or reloaded is not the one that the pool should show.
    expected = advertisement.expected(
        service.kind, values, configured, None if has_pending_job(unit) else mine
    )
    # A worker whose token has expired is asked for as one that has not joined yet.
    joined = bool(states.update_memory(before.memory, here).joined) and not here.expired
    shown = None
    pool = servers.all_servers(service.kind.pools, values, instance.machine_number()) if configured else ()
    if mine and configured and not (joined and advertisement.is_done(before.progress, expected)):
        managers = [one.address for one in pool if not one.is_broker]
        shown = observe.query_pool(managers, mine, expected.attributes())
    answers = server_answers(before, pool, joined or bool(shown and shown.known), service.kind, values)
    if configured and not joined:
        here = with_pool_state(here, shown, answers)
    limits, health = states.limits(values, retirement_seconds(values)), files.read_json(paths.HEALTH)
    return Inspection(at, epoch, here, limits, values, reading, expected, shown, health, answers, times)


def server_answers(
    before: Previous, pool: Sequence[Server], joined: bool, kind: Kind, values: Mapping[str, str]
) -> Answers:
    """The answers of the pool's servers, new ones if they are due.

    A worker that is not in the pool asks at each inspection, others from time to time.
    """
    now = time.monotonic()
    if not pool or (joined and not join.is_due(before.answers, pool, now, before.requested)):
        return before.answers if pool else Answers()
    return join.ask_all(pool, kind.token_file, servers.trust_domain(kind.pools, values), now)


def with_pool_state(facts: Facts, shown: Optional[observe.PoolAds], answers: Answers) -> Facts:
    """With whether the worker is in the pool, and if not, why.

    A pool may accept workers without showing them.
    """
    if shown and shown.known:
        return facts._replace(in_pool=True)
    obstacle = join.obstacle(answers)
    accepted = shown is None and bool(facts.startd) and not obstacle
    return facts._replace(in_pool=accepted, obstacle=obstacle or join.broker_problem(answers))


def departure(boot: float) -> Optional[states.Departure]:
    """The notice of the cloud, with times in seconds since the boot."""
    seen = preemption.current()
    if seen is None:
        return None
    why, ends, is_certain = seen.notice
    return states.Departure(why, seen.at - boot, ends - boot, is_certain)


def has_pending_job(unit: Mapping[str, str]) -> bool:
    """Whether systemd has a pending job to start, stop or reload HTCondor."""
    return unit.get("Job", "") not in ("", "0")


def retirement_seconds(values: Mapping[str, str]) -> float:
    """How long before the end of MaxLifetime the retirement begins."""
    return float(condor_config.end_time(values, 0) - condor_config.retirement_time(values, 0))


def file_times(kind: Kind) -> Callable[[], Tuple[float, ...]]:
    """A function that returns the modification times of the files whose change triggers an inspection."""
    return lambda: tuple(files.modified_at(path) for path in (paths.HEALTH, kind.file, preemption.NOTICE))
