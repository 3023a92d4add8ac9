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

from worker_runtime import advertised, clock, files, followed, kind, life, observe, settings, status
from worker_runtime.advertised import Told
from worker_runtime.followed import Content
from worker_runtime.join import Answers
from worker_runtime.life import Life, Limits, Memory
from worker_runtime.look import Before, Seen, Service, followed_files, look
from worker_runtime.query import Desk
from worker_runtime.say import say
from worker_runtime.stopped import UNIT

MEMORY = settings.RUN + "/memory.json"
# Between two looks. More often where a deadline is short, so that it is met.
LEAST, MOST = 1.0, 15.0
# While HTCondor starts, joins or has news for the pool; not for ever, for the sake of the pool's collector.
SOON, HURRY_SECONDS = 3.0, 180.0
COMMAND_SECONDS = 60
AGAIN = 60.0  # an order that had no effect is given again


class Order(NamedTuple):
    """What was last done about a worker that has to go, and when."""

    what: str = ""
    at: float = 0.0


class State(NamedTuple):
    """What one look hands to the next."""

    memory: Memory
    order: Order = Order()
    said: Life = Life("", "")
    told: Told = Told()
    answers: Answers = Answers()


def main() -> int:
    mine = kind.here()
    systemd = Service(
        mine, clock.boot(), observe.unit, by_systemd, lambda: followed.reading(mine), lambda: reader(mine)
    )
    desk, state, unread, glance = Desk(), State(remembered()), Unread(), followed_files(mine)
    while True:
        before = glance()
        state, seen = turn(state, systemd, desk)
        unread = follow(mine, seen.reading, unread)
        alive()
        desk.wait(pause(state, seen), glance, before)


def turn(state: State, service: Service, desk: Desk) -> Tuple[State, Seen]:
    """Look, decide, say, do."""
    seen = look(Before(state.memory, state.told, state.answers, desk.is_asked), service)
    now, memory = life.judge(state.memory, seen.facts, seen.limits)
    what = ""
    if memory.reason:
        now, what = way_out(memory, seen)
    keep(memory)
    told = advertised.compared(state.told, seen.wanted, seen.shown)
    # Before anything is done, because that may be our own end.
    desk.answer(status.publish(now, memory, told, seen, service))
    if (now.state, now.why) != (state.said.state, state.said.why):
        say("%s: %s" % (now.state, now.why))
    for text in news(state.answers, seen.answers) if memory.joined else ():
        say(text)
    if memory.joined and not what and seen.wanted.startd and not advertised.done(told, seen.wanted):
        told = advertised.sent(told, seen.shown)
    order = carry_out(what, state.order, seen.facts.now, service)
    return State(memory, order, now, told, seen.answers), seen


def news(before: Answers, now: Answers) -> Tuple[str, ...]:
    """What has changed about the pool's servers, for the journal. Pure."""
    was = dict(before.pairs)
    changed = ((one, text) for one, text in now.pairs if text != was.get(one, ""))
    return tuple(text or "%s answers again" % one.address for one, text in changed)


def reader(mine: kind.Kind) -> str:
    """Who reads the worker's file when it has changed."""
    service, path = observe.active_state(mine.unit), observe.active_state(mine.name + ".path")
    return followed.reader_of(service, path, observe.boots())


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


def pause(state: State, seen: Seen) -> float:
    """Seconds until the next look, if nothing happens."""
    usual = at_leisure(seen.limits)
    return min(usual, SOON) if hurried(state, seen) else usual


def at_leisure(limits: Limits) -> float:
    shortest = min(limits.configuration, limits.join, limits.idle, limits.watchdog, limits.lifetime)
    return min(MOST, max(LEAST, shortest / 20))


def hurried(state: State, seen: Seen) -> bool:
    """Is something about to change that people wait for? Pure."""
    memory, now = state.memory, seen.facts.now
    if state.said.state in ("starting", "joining"):
        return now - max(memory.began, memory.answered if not memory.startd else 0) < HURRY_SECONDS
    if not (memory.joined and seen.facts.startd):
        return False
    if not advertised.done(state.told, seen.wanted):
        return True
    # The startd reads what the probe has said a moment after that wrote its report.
    at = seen.health.get("at", 0)
    return seen.health.get("healthy") != seen.wanted.healthy and seen.epoch - at < HURRY_SECONDS


class Unread(NamedTuple):
    """What was not read yet at the last look, and for what that was ordered last."""

    content: Content = Content()
    ordered: Content = Content()


def follow(mine: kind.Kind, found: followed.Reading, last: Unread) -> Unread:
    """Have a changed file read of which the path unit does not tell: a token file, which it does not know,
    or the worker's own when it was written just as its reader ended."""
    if found.current or found.taken is None:
        return Unread(ordered=last.ordered)
    if found.now == last.ordered or not (found.token_alone or found.now == last.content):
        return last._replace(content=found.now)
    call(["systemctl", "--no-block", "start", mine.unit])
    return Unread(found.now, found.now)


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
