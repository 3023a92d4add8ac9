"""`worker-image status`: in what state the worker is and why, in some ten lines or as JSON.

Root asks the watch, which looks and answers. Everybody else, and root where no watch runs, has what it last
published in /run, with its age; so nothing in it is secret.
"""

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from worker_runtime import condor, files, followed, machine, observe, places, query, servers, settings
from worker_runtime.kind import Kind
from worker_runtime.life import Life, Memory

if TYPE_CHECKING:
    from worker_runtime.advertised import Told
    from worker_runtime.look import Seen, Service

PUBLISHED = settings.RUN + "/status.json"
UNIT = "worker-life.service"
SYSTEMD = "/run/systemd/system"  # there where systemd runs the machine, sd_booted(3)
_ENDS = {"poweroff": "powers off", "exit": "ends", "stop": "stops HTCondor", "none": "nothing"}
IN_POOL = ("idle", "running", "retiring")  # states
STALE = 120  # seconds without a look
_PLACES = ("site", "country")  # kinds of values, see values.py
# A look has time limits of its own for each question; this is as long as a person waits.
ANSWER_SECONDS = 60


def publish(now: Life, memory: Memory, told: "Told", seen: "Seen", service: "Service") -> bytes:
    """What is published, for whoever has asked for it."""
    os.makedirs(settings.RUN, 0o755, exist_ok=True)
    found = data(now, memory, told, seen, service)
    text = json.dumps(found, indent=1, sort_keys=True).encode("ascii") + b"\n"
    files.put(PUBLISHED, text, 0o644)
    return text


def data(now: Life, memory: Memory, told: "Told", seen: "Seen", service: "Service") -> Dict[str, Any]:
    """All times are seconds since 1970, or null; but `looked` is time.monotonic()."""
    epoch = seen.epoch - seen.facts.now

    def date(seconds: Optional[float]) -> Optional[int]:
        return int(epoch + seconds) if seconds and seconds != float("inf") else None

    values, reading = seen.values, seen.reading
    waits = not reading.current or not reading.now.file
    return {
        "state": now.state,
        "why": now.why,
        "deadline": date(now.deadline),
        "joined": date(memory.joined),
        # Whether the pool shows all of that: this configuration, this health.
        "advertised": bool(memory.joined and told.shows),
        "ends": date(seen.limits.lifetime),
        "claimed": seen.facts.claimed,
        "htcondor": seen.facts.unit,
        "on_idle": values["OnIdle"],
        "configured": bool(seen.facts.configured),
        "pending": followed.pending(service.kind, reading, service.reader()) if waits else "",
        "problems": list(reading.problems),
        "pool": values["CentralManager"],
        "servers": [
            {"address": one.address, "broker": one.is_broker, "problem": problem}
            for one, problem in seen.answers.pairs
        ],
        "group": named(service.kind, values),
        "start": condor.wanted(service.kind, values) if seen.facts.configured else "",
        "image": machine.of_image(machine.read(machine.IMAGE)),
        "at": int(seen.epoch),
        "looked": seen.at,
    }


def named(mine: Kind, values: Mapping[str, str]) -> str:
    """By what the worker is found in the pool; not where it is, which other workers say, too."""
    shown = (values[key.setting] for key in mine.keys if key.advertise and key.kind not in _PLACES)
    return ", ".join(value for value in shown if value)


def alive() -> int:
    """`worker alive`, for a container's health check: 1 if HTCondor does not answer, or nobody looks."""
    found = machine.read(PUBLISHED)
    if not found or age(found) > STALE or found["state"] in ("silent", "stopped"):
        print(found.get("why", "there is no state yet"))
        return 1
    print("%s: %s" % (found["state"], found["why"]))
    return 0


# --- what is known ------------------------------------------------------------------------------


class Known(NamedTuple):
    found: Dict[str, Any]  # what data() made; empty: nothing is known since the machine's start
    live: bool  # by a look that was made for this question
    remark: str = ""  # why it is not
    watched: bool = True  # does the watch run, so far as can be seen


def known(seconds: float) -> Known:
    """What there is to know of this worker, at the latest after so many seconds."""
    try:
        return Known(query.ask(seconds), live=True)
    except query.Late as reason:
        return Known(machine.read(PUBLISHED), False, str(reason))
    except query.Forbidden as reason:
        state = watch_state()
        remark = "%s does not run (%s)" % (UNIT, state) if state else str(reason)
        return Known(machine.read(PUBLISHED), False, remark, not state)
    except query.Absent as reason:
        state = watch_state()
        remark = "%s does not run (%s)" % (UNIT, state) if state else str(reason)
        return Known(machine.read(PUBLISHED), False, remark, False)


def watch_state() -> str:
    """What systemd says of a watch that does not run; "" of one that does, and where no systemd is."""
    if not os.path.isdir(SYSTEMD):
        return ""
    state = observe.active_state(UNIT)
    return "" if state == "active" else state or "systemd does not say"


def age(found: Mapping[str, Any]) -> float:
    """Seconds since the look. Not by the clock of the day, which may have been set since then."""
    return max(0.0, time.monotonic() - float(found["looked"]))


# --- what is said -------------------------------------------------------------------------------


def main(as_json: bool) -> int:
    """0: it is so; 3: the worker's life is not looked after (yet), so this is old, or nothing is known."""
    what = known(ANSWER_SECONDS)
    if not what.found:
        print("There is no state yet: the watch has not run since this machine's start (%s)." % what.remark)
        return 3
    found = completed(what, machine.read(places.HEALTH))
    if as_json:
        print(json.dumps(found, indent=1, sort_keys=True))
    else:
        print(printable("\n".join(lines(found, time.time())), sys.stdout.encoding or "ascii"))
    return 0 if what.watched else 3


def printable(text: str, encoding: str) -> str:
    """With escapes for what a terminal cannot show: under LANG=C, Python 3.6 would end there."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def completed(what: Known, health: Mapping[str, Any]) -> Dict[str, Any]:
    """With its age, and with the health, which the probe looks at by itself."""
    return dict(
        what.found,
        live=what.live,
        age=round(age(what.found), 1),
        remark=what.remark,
        watched=what.watched,
        health=health.get("status", "not looked at yet"),
        health_at=health.get("at"),
    )


def lines(found: Mapping[str, Any], now: float) -> List[str]:
    """What a person wants to know first."""
    image = found["image"]
    made = (image["WorkerImage"] or "?", image["WorkerBakeryVersion"] or "?")
    rows = [
        ("State", found["state"]),
        ("Why", found["why"]),
        *_unsettled(found),
        ("Next", _next(found, now)),
        ("Pool", _pool(found, now)),
        ("Group", found["group"] or "(no name)"),
        ("Takes", found["start"] or "(nothing: not configured)"),
        ("Claimed", "%d slots" % found["claimed"]),
        ("Health", _looked_at(found["health"], found["health_at"], now)),
        ("Ends", _at(found["ends"], now) if found["ends"] else "no MaxLifetime"),
        ("Image", "%s, by worker-bakery %s" % made),
        *_of_when(found),
    ]
    return ["%-8s %s" % (name + ":", value) for name, value in rows]


def _unsettled(found: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """What is waited for, and what is wrong; the other lines are of what holds until then."""
    pending = [("Pending", found["pending"])] if found["pending"] else []
    # Of servers, those that do not stand under "Why" already.
    ill = [one["problem"] for one in found["servers"] if one["problem"] not in found["why"]]
    return pending + [("Problem", problem) for problem in (*found["problems"], *dict.fromkeys(ill))]


def _of_when(found: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """As of when it is, if it is not of now."""
    if found["live"]:
        return []
    said = "%s ago: %s" % (_span(found["age"]), found["remark"])
    return [("As of" if found["watched"] and found["age"] <= STALE else "Caution", said)]


def _looked_at(health: str, at: Optional[int], now: float) -> str:
    return "%s, looked at %s ago" % (health, _span(now - at)) if at else health


def _next(found: Mapping[str, Any], now: float) -> str:
    if not found["deadline"]:
        return "nothing by itself"
    end = _ENDS[found["on_idle"]]
    return "%s %s, unless things change" % (end, _at(found["deadline"], now))


def untold(found: Mapping[str, Any]) -> bool:
    """Is it in the pool, but there as it was before?"""
    return found["state"] in IN_POOL and not found["advertised"]


def _pool(found: Mapping[str, Any], now: float) -> str:
    at = found["joined"]
    since = "joined %s ago" % _span(now - at) if at else "not joined"
    more = ", does not show the last change yet" if untold(found) else ""
    return "%s, %s%s" % (", ".join(servers.addresses(found["pool"])), since, more)


def _at(epoch: float, now: float) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(epoch))
    return "at %s (in %s)" % (when, _span(epoch - now)) if epoch > now else "at %s (now)" % when


def _span(seconds: float) -> str:
    if seconds < 120:
        return "%d s" % max(0, seconds)
    return "%d min" % (seconds // 60) if seconds < 7200 else "%d h" % (seconds // 3600)
