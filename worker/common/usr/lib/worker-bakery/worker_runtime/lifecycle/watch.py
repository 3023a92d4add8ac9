"""`worker watch`, the service of the worker's lifecycle: states.py decides, this module acts.

It runs from boot on, whatever HTCondor does. systemd restarts it when it ends or hangs; its memory is in
/run, so that a restart does not move a deadline. It inspects the worker at intervals, and at once when a
client asks (system/status_socket.py) or one of the watched files changes.
"""

import json
import os
import subprocess
from typing import Any, Dict, NamedTuple, Sequence, Tuple

from worker_runtime.configuration import applied, kind, token
from worker_runtime.configuration.applied import Fingerprint
from worker_runtime.lifecycle import advertisement, drain, observe, preemption, renewal, report
from worker_runtime.lifecycle import self_deletion, states
from worker_runtime.lifecycle.advertisement import Progress
from worker_runtime.lifecycle.inspection import Inspection, Previous, Service, file_times, inspect
from worker_runtime.lifecycle.join import Answers
from worker_runtime.lifecycle.renewal import Renewal
from worker_runtime.lifecycle.self_deletion import Deletion
from worker_runtime.lifecycle.states import Limits, Memory, Status
from worker_runtime.system import boot_time, files, paths, systemd
from worker_runtime.system.console import log
from worker_runtime.system.status_socket import StatusServer
from worker_runtime.system.systemd import CONDOR_UNIT

MEMORY = paths.RUN + "/memory.json"
# Seconds between two inspections; fewer where a time limit is short, so that it is met.
MIN_INTERVAL, MAX_INTERVAL = 1.0, 15.0
# While HTCondor starts, joins, or changes what it advertises; limited, to spare the pool's collector.
URGENT_INTERVAL, URGENT_SECONDS = 3.0, 180.0
COMMAND_SECONDS = 60
REPEAT_SECONDS = 60.0  # seconds after which an order without effect is repeated


class Order(NamedTuple):
    """The last action on a worker that has to shut down, and when it was ordered."""

    action: str = ""
    at: float = 0.0


class WatchState(NamedTuple):
    """What one inspection passes on to the next."""

    memory: Memory
    order: Order = Order()
    status: Status = Status("", "")
    progress: Progress = Progress()
    answers: Answers = Answers()
    renewal: Renewal = Renewal()
    warned: float = 0.0  # the end of the token of which a warning was given
    deletion: Deletion = Deletion()


def main() -> int:
    """Watch the worker; does not return."""
    worker = kind.load()
    service = Service(
        worker,
        boot_time.boot_monotonic(),
        observe.condor_unit,
        systemd_order,
        lambda: applied.file_status(worker),
        lambda: reader(worker),
        lambda: read_file(worker),
    )
    server, state, pending, times = (
        StatusServer(),
        WatchState(load_memory()),
        PendingRead(),
        file_times(worker),
    )
    preemption.start()
    while True:
        before = times()
        state, inspection = step(state, service, server)
        pending = read_changed_file(worker, inspection.reading, pending)
        notify_watchdog()
        server.wait(seconds_to_wait(state, inspection), times, before)


def step(state: WatchState, service: Service, server: StatusServer) -> Tuple[WatchState, Inspection]:
    """Inspect, evaluate, report, act."""
    inspection = inspect(
        Previous(state.memory, state.progress, state.answers, server.has_requests), service
    )
    now, memory = states.evaluate(state.memory, inspection.facts, inspection.limits)
    action = ""
    if memory.reason:
        now, action = plan_shutdown(now, memory, inspection, state.deletion)
    save_memory(memory)
    progress = advertisement.compare(state.progress, inspection.expected, inspection.pool_ads)
    # Before the action, which may end this process.
    server.answer(report.publish(now, memory, progress, inspection, service))
    if (now.state, now.why) != (state.status.state, state.status.why):
        log("%s: %s" % (now.state, now.why))
    for text in server_changes(state.answers, inspection.answers) if memory.joined else ():
        log(text)
    if (
        memory.joined
        and not action
        and inspection.expected.startd
        and not advertisement.is_done(progress, inspection.expected)
        and advertisement.is_due(progress, inspection.facts.now)
    ):
        progress = advertisement.send(progress, inspection.pool_ads, inspection.facts.now)
    if action == "drain":
        drain.prepare((now.deadline or float("inf")) - inspection.facts.now)
    elif action == "stop" and not state.order.action:
        drain.end_retirement()
    deletion = state.deletion if memory.reason else Deletion()
    if action == "delete":
        deletion = self_deletion.attempt(deletion, inspection.facts.now, self_deletion.delete_server)
    order = execute(action, state.order, inspection.facts.now, service)
    renewed, warned = renew_token(state.renewal, inspection, service), warn_of_end(state.warned, inspection)
    next_state = WatchState(memory, order, now, progress, inspection.answers, renewed, warned, deletion)
    return next_state, inspection


def renew_token(last: Renewal, inspection: Inspection, service: Service) -> Renewal:
    """Have the worker's file read again, and so TokenCommand run again, when a renewal is due."""
    times, now = inspection.token, inspection.facts.now
    if not (inspection.reading.renewable and renewal.is_due(times, inspection.epoch)):
        return Renewal()
    if not renewal.is_next_try(last, times, now):
        return last
    key = service.kind.key("TokenCommand")
    log("the token is valid until %s: running %s again" % (token.date(times.expires), key))
    service.reread()
    return Renewal(last.tries + 1, now)


def warn_of_end(warned: float, inspection: Inspection) -> float:
    """Warn once that the token ends before the worker; return the end of which a warning was given."""
    times, facts = inspection.token, inspection.facts
    ends = inspection.epoch - facts.now + inspection.limits.lifetime
    if not facts.configured or times.expires == warned:
        return warned
    if not renewal.is_ending(times, inspection.epoch, ends, inspection.reading.renewable):
        return warned
    text = "warning: the token is valid until %s; without a new one, the worker leaves the pool then"
    log(text % token.date(times.expires))
    return times.expires


def server_changes(before: Answers, now: Answers) -> Tuple[str, ...]:
    """What has changed about the pool's servers, for the journal. Pure."""
    was = dict(before.pairs)
    changed = ((one, text) for one, text in now.pairs if text != was.get(one, ""))
    return tuple(text or "%s answers again" % one.address for one, text in changed)


def reader(worker: kind.Kind) -> str:
    """Who reads the worker's file when it has changed."""
    service, path = systemd.active_state(worker.unit), systemd.active_state(worker.name + ".path")
    return applied.reader_state(service, path, systemd.is_booting())


def plan_shutdown(
    now: Status, memory: Memory, inspection: Inspection, deletion: Deletion
) -> Tuple[Status, str]:
    """The status of a worker that shuts down, and the next action; `now`: as states.py has it."""
    on_idle = inspection.values["OnIdle"]
    if on_idle == "delete" and deletion.ended:
        on_idle = "poweroff"
    people = observe.logins() if on_idle in ("poweroff", "delete") else ()
    action = states.next_action(memory, inspection.facts, inspection.limits, len(people), on_idle)
    status = now if action == "drain" else shutdown_status(action, memory, inspection, people, deletion)
    return status, action


def execute(action: str, last: Order, now: float, service: Service) -> Order:
    """Order the action, unless that was done just now."""
    if action == last.action and now - last.at < REPEAT_SECONDS:
        return last
    service.order(action)
    return Order(action, now)


def systemd_order(action: str) -> None:
    """Carry out an action by systemd."""
    for argv in ORDERS.get(action, ()):
        run_command(argv)


def shutdown_status(
    action: str, memory: Memory, inspection: Inspection, people: Sequence[str], deletion: Deletion
) -> Status:
    """The status to report for the action."""
    if action == "rest":
        return Status("stopped", memory.reason)
    if action == "wait":
        until = memory.ending + inspection.limits.login
        return Status("stopping", "%s; %s is logged in" % (memory.reason, ", ".join(people)), until)
    if action in ("delete", "off", "force"):
        does = "deleting this server" if action == "delete" else _ENDS[inspection.values["OnIdle"]]
        what = "; ".join(filter(None, (deletion.said, does)))
        return Status("stopping", "%s: %s" % (memory.reason, what))
    return Status("stopping", memory.reason)


_ENDS = {"poweroff": "powering off", "delete": "powering off", "exit": "ending the container"}

# --no-block, because the effect of an order may be the end of this process.
_STOP = ["systemctl", "kill", "--kill-who=main", "--signal=SIGTERM", CONDOR_UNIT]
ORDERS = {
    "drain": [_STOP],  # with the settings of drain.py
    "stop": [_STOP],
    # Stopped first, so that systemd does not restart it as after a crash.
    "kill": [
        ["systemctl", "--no-block", "stop", CONDOR_UNIT],
        ["systemctl", "kill", "--kill-who=all", "--signal=SIGKILL", CONDOR_UNIT],
    ],
    "off": [["systemctl", "--no-block", "-i", "poweroff"]],
    "force": [["systemctl", "--force", "poweroff"], ["systemctl", "--force", "--force", "poweroff"]],
}


def run_command(argv: Sequence[str]) -> None:
    """Run a command of systemd; a failure is logged."""
    try:
        ended = subprocess.call(list(argv), stdin=subprocess.DEVNULL, timeout=COMMAND_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        log("%s: %s" % (" ".join(argv), type(error).__name__))
        return
    if ended != 0:
        log("%s ended with status %d" % (" ".join(argv), ended))


def seconds_to_wait(state: WatchState, inspection: Inspection) -> float:
    """Seconds until the next inspection, if nothing triggers one."""
    usual = usual_interval(inspection.limits)
    return min(usual, URGENT_INTERVAL) if is_urgent(state, inspection) else usual


def usual_interval(limits: Limits) -> float:
    """Seconds between two inspections, fewer if a time limit is short."""
    shortest = min(limits.configuration, limits.join, limits.idle, limits.watchdog, limits.lifetime)
    return min(MAX_INTERVAL, max(MIN_INTERVAL, shortest / 20))


def is_urgent(state: WatchState, inspection: Inspection) -> bool:
    """Whether a change is expected soon that somebody may wait for. Pure."""
    memory, now = state.memory, inspection.facts.now
    if state.status.state in ("starting", "joining"):
        return now - max(memory.began, memory.answered if not memory.startd else 0) < URGENT_SECONDS
    if not (memory.joined and inspection.facts.startd):
        return False
    if not advertisement.is_done(state.progress, inspection.expected):
        return True
    # The startd reads the output of the probe a moment after the report was written.
    at = inspection.health.get("at", 0)
    return (
        inspection.health.get("healthy") != inspection.expected.healthy
        and inspection.epoch - at < URGENT_SECONDS
    )


class PendingRead(NamedTuple):
    """Which content was not read at the last inspection, and which was last ordered to be read."""

    content: Fingerprint = Fingerprint()
    ordered: Fingerprint = Fingerprint()


def read_changed_file(worker: kind.Kind, found: applied.FileStatus, last: PendingRead) -> PendingRead:
    """Have a changed file read if the path unit does not trigger.

    It does not know the token file, and it misses a change of the worker's file just before its reader
    ends.
    """
    if found.current or found.applied is None:
        return PendingRead(ordered=last.ordered)
    if found.now == last.ordered or not (found.only_token_changed or found.now == last.content):
        return last._replace(content=found.now)
    read_file(worker)
    return PendingRead(found.now, found.now)


def read_file(worker: kind.Kind) -> None:
    """Have the worker's file read."""
    run_command(["systemctl", "--no-block", "start", worker.unit])


def load_memory() -> Memory:
    """The memory of an earlier process of the watch; empty if there is none."""
    try:
        with open(MEMORY, encoding="ascii") as file:
            found: Dict[str, Any] = json.load(file)
        return Memory(**found)
    except (OSError, ValueError, TypeError):
        return Memory()


def save_memory(memory: Memory) -> None:
    """Save the memory for a later process of the watch."""
    os.makedirs(paths.RUN, 0o755, exist_ok=True)
    files.put(MEMORY, json.dumps(memory._asdict()).encode("ascii"), 0o600)


def notify_watchdog() -> None:
    """Notify systemd's watchdog."""
    systemd.notify(b"WATCHDOG=1")
