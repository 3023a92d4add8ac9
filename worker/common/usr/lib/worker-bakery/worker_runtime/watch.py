"""`worker watch`, the service that looks after a worker's life: life.py decides, this does.

It runs from boot, whatever HTCondor does. systemd starts it again when it ends or hangs, and
what it has to remember is in /run, so a deadline survives that.
"""

import json
import os
import socket
import subprocess
import time
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple

from worker_runtime import clock, condor, conf, files, join, kind, life, observe, settings, status
from worker_runtime.life import Facts, Life, Limits, Memory
from worker_runtime.say import say
from worker_runtime.stopped import LEFT, UNIT

MEMORY = settings.RUN + "/memory.json"
# Between two looks. More often where a deadline is short, so that it is met.
LEAST, MOST = 1.0, 15.0
COMMAND_SECONDS = 60
AGAIN = 60.0  # an order that had no effect is given again


class Seen(NamedTuple):
    """One look: what is the matter, and what decides about it."""

    facts: Facts
    limits: Limits
    values: Mapping[str, str]


class Order(NamedTuple):
    """What was last done about a worker that has to go, and when."""

    what: str = ""
    at: float = 0.0


class Service(NamedTuple):
    """Who runs HTCondor: systemd on a machine, `worker run` in a container."""

    began: float  # time.monotonic()
    unit: Callable[[], Dict[str, str]]  # what observe.unit() says
    order: Callable[[str], None]  # carry out what life.way_out() says
    token_file: str  # which HTCondor uses


class State(NamedTuple):
    """What one look hands to the next."""

    memory: Memory
    order: Order = Order()
    said: Life = Life("", "")


def main() -> int:
    systemd = Service(clock.boot(), observe.unit, by_systemd, kind.here().token_file)
    state = State(remembered())
    token_changed = observe.changed_at(token_file())
    while True:
        state, seen = turn(state, systemd)
        token_changed = follow_token(token_changed)
        alive()
        time.sleep(pause(seen.limits))


def turn(state: State, service: Service) -> Tuple[State, Seen]:
    """Look, decide, say, do."""
    seen = look(state.memory, service)
    now, memory = life.judge(state.memory, seen.facts, seen.limits)
    what = ""
    if memory.reason:
        now, what = way_out(memory, seen)
    keep(memory)
    status.publish(now, memory, seen, service.began)
    # Before anything is done, because that may be our own end.
    if (now.state, now.why) != (state.said.state, state.said.why):
        say("%s: %s" % (now.state, now.why))
    return State(memory, carry_out(what, state.order, seen.facts.now, service), now), seen


def look(memory: Memory, service: Service) -> Seen:
    values = settings.current()
    mine, unit = observe.slots(), service.unit()
    configured = observe.changed_at(settings.PUBLISHED)
    here = Facts(
        now=time.monotonic() - service.began,
        configured=configured,
        unit=unit.get("ActiveState", ""),
        left=os.path.exists(LEFT) or observe.leaves(unit),
        startd=mine.startd if mine else "",
        claimed=mine.claimed if mine else 0,
        in_pool=None,
        obstacle="",
    )
    limits = life.limits(values, retirement(values))
    if configured and not life.remember(memory, here).joined:
        here = asked(here, values["CentralManager"], mine, service.token_file)
    return Seen(here, limits, values)


def asked(
    facts: Facts, manager: str, mine: Optional[observe.Slots], token_file: str
) -> Facts:
    """Is it in the pool, and if not, why? A pool may show its workers to nobody but take them."""
    in_pool = observe.in_collector(manager, mine) if mine else False
    if in_pool:
        return facts._replace(in_pool=True)
    obstacle = join.problem(manager, token_file) or ""
    taken = in_pool is None and mine is not None and not obstacle
    return facts._replace(in_pool=taken, obstacle=obstacle)


def retirement(values: Mapping[str, str]) -> float:
    return float(condor.ends(values, 0) - condor.retires(values, 0))


def way_out(memory: Memory, seen: Seen) -> Tuple[Life, str]:
    """How far a worker that has to go is on its way, and what is to be done."""
    on_idle = seen.values["OnIdle"]
    people = observe.logins() if on_idle == "poweroff" else ()
    what = life.way_out(memory, seen.facts, seen.limits, len(people), on_idle)
    return shown_way(what, memory, seen, people), what


def carry_out(what: str, last: Order, now: float, service: Service) -> Order:
    """Give the orders for it, unless that was done just now."""
    if what == last.what and now - last.at < AGAIN:
        return last
    service.order(what)
    return Order(what, now)


def by_systemd(what: str) -> None:
    for argv in ORDERS.get(what, ()):
        call(argv)


def shown_way(what: str, memory: Memory, seen: Seen, people: Sequence[str]) -> Life:
    if what == "rest":
        return Life("stopped", memory.reason)
    if what == "wait":
        until = memory.going + seen.limits.login
        return Life("stopping", "%s; %s is logged in" % (memory.reason, ", ".join(people)), until)
    if what in ("off", "force"):
        return Life("stopping", "%s: %s" % (memory.reason, _ENDS[seen.values["OnIdle"]]))
    return Life("stopping", memory.reason)


_ENDS = {"poweroff": "powering off", "exit": "the container ends"}

# --no-block: an order to systemd is not waited for, because its effect may be our own end.
ORDERS = {
    "stop": [["systemctl", "kill", "--kill-who=main", "--signal=SIGTERM", UNIT]],
    # Stopped first, so that the end is no crash that systemd would repair.
    "kill": [
        ["systemctl", "--no-block", "stop", UNIT],
        ["systemctl", "kill", "--kill-who=all", "--signal=SIGKILL", UNIT],
    ],
    "off": [["systemctl", "--no-block", "-i", "poweroff"]],
    "force": [["systemctl", "--force", "poweroff"], ["systemctl", "--force", "--force", "poweroff"]],
}


def call(argv: Sequence[str]) -> None:
    try:
        ended = subprocess.call(list(argv), stdin=subprocess.DEVNULL, timeout=COMMAND_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        say("%s: %s" % (" ".join(argv), type(error).__name__))
        return
    if ended != 0:
        say("%s ended with status %d" % (" ".join(argv), ended))


def pause(limits: Limits) -> float:
    """Seconds until the next look."""
    shortest = min(limits.configuration, limits.join, limits.idle, limits.watchdog, limits.lifetime)
    return min(MOST, max(LEAST, shortest / 20))


def token_file() -> str:
    """The worker's own file may name another that holds the token. (It is not among the settings.)"""
    mine = settings.table().kind
    try:
        with open(mine.file, "rb") as file:
            return conf.parse(file.read(), mine.keys, mine.form).values.get("TokenFile", "")
    except OSError:
        return ""


def follow_token(before: float) -> float:
    """A token file that changes is read again, as the worker's own file is by its path unit."""
    path = token_file()
    changed = observe.changed_at(path) if path else 0.0
    if changed not in (0.0, before):
        call(["systemctl", "--no-block", "start", kind.here().unit])
    return changed


def remembered() -> Memory:
    try:
        with open(MEMORY, encoding="ascii") as file:
            found: Dict[str, Any] = json.load(file)
        return Memory(**found)
    except (OSError, ValueError, TypeError):
        return Memory()


def keep(memory: Memory) -> None:
    os.makedirs(settings.RUN, 0o755, exist_ok=True)
    files.put(MEMORY, json.dumps(memory._asdict()).encode("ascii"), 0o600)


def alive() -> None:
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
