"""`worker watch`, the service that looks after a worker's life: life.py decides, this does.

It runs from boot, whatever HTCondor does. systemd starts it again when it ends or hangs, and
what it has to remember is in /run, so a deadline survives that. It looks at intervals, and at once when it
is asked (query.py) or a file changes that a look would be for.
"""

import json
import os
import socket
import subprocess
from typing import Any, Dict, NamedTuple, Sequence, Tuple

from worker_runtime.configuration import applied, kind
from worker_runtime.configuration.applied import Fingerprint
from worker_runtime.lifecycle import advertisement, observe, report, states
from worker_runtime.lifecycle.advertisement import Progress
from worker_runtime.lifecycle.inspection import Inspection, Previous, Service, file_times, inspect
from worker_runtime.lifecycle.join import Answers
from worker_runtime.lifecycle.states import Limits, Memory, Status
from worker_runtime.system import boot_time, files, paths, systemd
from worker_runtime.system.console import log
from worker_runtime.system.status_socket import StatusServer
from worker_runtime.system.systemd import CONDOR_UNIT

MEMORY = paths.RUN + "/memory.json"
# Between two looks. More often where a deadline is short, so that it is met.
MIN_INTERVAL, MAX_INTERVAL = 1.0, 15.0
# While HTCondor starts, joins or has news for the pool; not for ever, for the sake of the pool's collector.
URGENT_INTERVAL, URGENT_SECONDS = 3.0, 180.0
COMMAND_SECONDS = 60
REPEAT_SECONDS = 60.0  # an order that had no effect is given again


class Order(NamedTuple):
    """What was last done about a worker that has to go, and when."""

    what: str = ""
    at: float = 0.0


class WatchState(NamedTuple):
    """What one look hands to the next."""

    memory: Memory
    order: Order = Order()
    said: Status = Status("", "")
    told: Progress = Progress()
    answers: Answers = Answers()


def main() -> int:
    mine = kind.load()
    service = Service(
        mine,
        boot_time.boot_monotonic(),
        observe.condor_unit,
        systemd_order,
        lambda: applied.file_status(mine),
        lambda: reader(mine),
    )
    desk, state, unread, glance = StatusServer(), WatchState(load_memory()), PendingRead(), file_times(mine)
    while True:
        before = glance()
        state, seen = step(state, service, desk)
        unread = read_changed_file(mine, seen.reading, unread)
        notify_watchdog()
        desk.wait(seconds_to_wait(state, seen), glance, before)


def step(state: WatchState, service: Service, desk: StatusServer) -> Tuple[WatchState, Inspection]:
    """Look, decide, say, do."""
    seen = inspect(Previous(state.memory, state.told, state.answers, desk.has_requests), service)
    now, memory = states.evaluate(state.memory, seen.facts, seen.limits)
    what = ""
    if memory.reason:
        now, what = plan_shutdown(memory, seen)
    save_memory(memory)
    told = advertisement.compare(state.told, seen.wanted, seen.shown)
    # Before anything is done, because that may be our own end.
    desk.answer(report.publish(now, memory, told, seen, service))
    if (now.state, now.why) != (state.said.state, state.said.why):
        log("%s: %s" % (now.state, now.why))
    for text in server_changes(state.answers, seen.answers) if memory.joined else ():
        log(text)
    if memory.joined and not what and seen.wanted.startd and not advertisement.is_done(told, seen.wanted):
        told = advertisement.send(told, seen.shown)
    order = execute(what, state.order, seen.facts.now, service)
    return WatchState(memory, order, now, told, seen.answers), seen


def server_changes(before: Answers, now: Answers) -> Tuple[str, ...]:
    """What has changed about the pool's servers, for the journal. Pure."""
    was = dict(before.pairs)
    changed = ((one, text) for one, text in now.pairs if text != was.get(one, ""))
    return tuple(text or "%s answers again" % one.address for one, text in changed)


def reader(mine: kind.Kind) -> str:
    """Who reads the worker's file when it has changed."""
    service, path = systemd.active_state(mine.unit), systemd.active_state(mine.name + ".path")
    return applied.reader_state(service, path, systemd.is_booting())


def plan_shutdown(memory: Memory, seen: Inspection) -> Tuple[Status, str]:
    """How far a worker that has to go is on its way, and what is to be done."""
    on_idle = seen.values["OnIdle"]
    people = observe.logins() if on_idle == "poweroff" else ()
    what = states.next_action(memory, seen.facts, seen.limits, len(people), on_idle)
    return shutdown_status(what, memory, seen, people), what


def execute(what: str, last: Order, now: float, service: Service) -> Order:
    """Give the orders for it, unless that was done just now."""
    if what == last.what and now - last.at < REPEAT_SECONDS:
        return last
    service.order(what)
    return Order(what, now)


def systemd_order(what: str) -> None:
    for argv in ORDERS.get(what, ()):
        run_command(argv)


def shutdown_status(what: str, memory: Memory, seen: Inspection, people: Sequence[str]) -> Status:
    if what == "rest":
        return Status("stopped", memory.reason)
    if what == "wait":
        until = memory.ending + seen.limits.login
        return Status("stopping", "%s; %s is logged in" % (memory.reason, ", ".join(people)), until)
    if what in ("off", "force"):
        return Status("stopping", "%s: %s" % (memory.reason, _ENDS[seen.values["OnIdle"]]))
    return Status("stopping", memory.reason)


_ENDS = {"poweroff": "powering off", "exit": "the container ends"}

# --no-block: an order to systemd is not waited for, because its effect may be our own end.
ORDERS = {
    "stop": [["systemctl", "kill", "--kill-who=main", "--signal=SIGTERM", CONDOR_UNIT]],
    # Stopped first, so that the end is no crash that systemd would repair.
    "kill": [
        ["systemctl", "--no-block", "stop", CONDOR_UNIT],
        ["systemctl", "kill", "--kill-who=all", "--signal=SIGKILL", CONDOR_UNIT],
    ],
    "off": [["systemctl", "--no-block", "-i", "poweroff"]],
    "force": [["systemctl", "--force", "poweroff"], ["systemctl", "--force", "--force", "poweroff"]],
}


def run_command(argv: Sequence[str]) -> None:
    try:
        ended = subprocess.call(list(argv), stdin=subprocess.DEVNULL, timeout=COMMAND_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        log("%s: %s" % (" ".join(argv), type(error).__name__))
        return
    if ended != 0:
        log("%s ended with status %d" % (" ".join(argv), ended))


def seconds_to_wait(state: WatchState, seen: Inspection) -> float:
    """Seconds until the next look, if nothing happens."""
    usual = usual_interval(seen.limits)
    return min(usual, URGENT_INTERVAL) if is_urgent(state, seen) else usual


def usual_interval(limits: Limits) -> float:
    shortest = min(limits.configuration, limits.join, limits.idle, limits.watchdog, limits.lifetime)
    return min(MAX_INTERVAL, max(MIN_INTERVAL, shortest / 20))


def is_urgent(state: WatchState, seen: Inspection) -> bool:
    """Is something about to change that people wait for? Pure."""
    memory, now = state.memory, seen.facts.now
    if state.said.state in ("starting", "joining"):
        return now - max(memory.began, memory.answered if not memory.startd else 0) < URGENT_SECONDS
    if not (memory.joined and seen.facts.startd):
        return False
    if not advertisement.is_done(state.told, seen.wanted):
        return True
    # The startd reads what the probe has said a moment after that wrote its report.
    at = seen.health.get("at", 0)
    return seen.health.get("healthy") != seen.wanted.healthy and seen.epoch - at < URGENT_SECONDS


class PendingRead(NamedTuple):
    """What was not read yet at the last look, and for what that was ordered last."""

    content: Fingerprint = Fingerprint()
    ordered: Fingerprint = Fingerprint()


def read_changed_file(mine: kind.Kind, found: applied.FileStatus, last: PendingRead) -> PendingRead:
    """Have a changed file read of which the path unit does not tell: a token file, which it does not know,
    or the worker's own when it was written just as its reader ended."""
    if found.current or found.applied is None:
        return PendingRead(ordered=last.ordered)
    if found.now == last.ordered or not (found.only_token_changed or found.now == last.content):
        return last._replace(content=found.now)
    run_command(["systemctl", "--no-block", "start", mine.unit])
    return PendingRead(found.now, found.now)


def load_memory() -> Memory:
    try:
        with open(MEMORY, encoding="ascii") as file:
            found: Dict[str, Any] = json.load(file)
        return Memory(**found)
    except (OSError, ValueError, TypeError):
        return Memory()


def save_memory(memory: Memory) -> None:
    os.makedirs(paths.RUN, 0o755, exist_ok=True)
    files.put(MEMORY, json.dumps(memory._asdict()).encode("ascii"), 0o600)


def notify_watchdog() -> None:
    """Tell systemd's watchdog. (sd_notify's protocol: a datagram to the socket that it names.)"""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
        try:
            notifier.sendto(b"WATCHDOG=1", address)
        except OSError:
            return
