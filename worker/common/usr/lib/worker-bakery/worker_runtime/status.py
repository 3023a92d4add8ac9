"""`worker-image status`: in what state the worker is and why, in ten lines or as JSON.

`worker watch` publishes it in /run for everybody, so nothing in it is secret.
"""

import json
import os
import time
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional

from worker_runtime import condor, files, kind, machine, settings
from worker_runtime.kind import Kind
from worker_runtime.life import Life, Memory

if TYPE_CHECKING:
    from worker_runtime.watch import Seen

PUBLISHED = settings.RUN + "/status.json"
_ENDS = {"poweroff": "powers off", "exit": "ends", "stop": "stops HTCondor", "none": "nothing"}
STALE = 120  # seconds without a look
HEALTH = settings.RUN + "/health/health.json"


def publish(now: Life, memory: Memory, seen: "Seen", boot: float) -> None:
    os.makedirs(settings.RUN, 0o755, exist_ok=True)
    text = json.dumps(data(now, memory, seen, boot), indent=1, sort_keys=True)
    files.put(PUBLISHED, text.encode("ascii") + b"\n", 0o644)


def data(now: Life, memory: Memory, seen: "Seen", boot: float) -> Dict[str, Any]:
    """All times are seconds since 1970, or null."""
    epoch = time.time() - time.monotonic() + boot

    def date(seconds: Optional[float]) -> Optional[int]:
        return int(epoch + seconds) if seconds and seconds != float("inf") else None

    values, mine = seen.values, kind.here()
    return {
        "state": now.state,
        "why": now.why,
        "deadline": date(now.deadline),
        "joined": date(memory.joined),
        "ends": date(seen.limits.lifetime),
        "claimed": seen.facts.claimed,
        "on_idle": values["OnIdle"],
        "configured": bool(seen.facts.configured),
        "pool": values["CentralManager"],
        "group": named(mine, values),
        "start": condor.wanted(mine, values) if seen.facts.configured else "",
        "image": machine.of_image(machine.read(machine.IMAGE)),
        "at": int(time.time()),
    }


def named(mine: Kind, values: Mapping[str, str]) -> str:
    """By what the worker is found in the pool."""
    shown = (values[key.setting] for key in mine.keys if key.advertise)
    return ", ".join(value for value in shown if value)


def alive() -> int:
    """`worker alive`, for a container's health check: 1 if HTCondor does not answer, or nobody looks."""
    found = machine.read(PUBLISHED)
    if not found or time.time() - found["at"] > STALE or found["state"] in ("silent", "stopped"):
        print(found.get("why", "there is no state yet"))
        return 1
    print("%s: %s" % (found["state"], found["why"]))
    return 0


def main(arguments: List[str]) -> int:
    """0: there is something to say; 3: the worker does not run (yet)."""
    found = machine.read(PUBLISHED)
    if not found:
        print("There is no state yet: worker-life.service has not run since this machine's start.")
        return 3
    found["health"] = machine.read(HEALTH).get("status", "not looked at yet")
    if arguments == ["--json"]:
        print(json.dumps(found, indent=1, sort_keys=True))
    else:
        print("\n".join(lines(found, time.time())))
    return 0


def lines(found: Mapping[str, Any], now: float) -> List[str]:
    """What a person wants to know first."""
    image = found["image"]
    made = (image["WorkerImage"] or "?", image["WorkerBakeryVersion"] or "?")
    rows = [
        ("State", found["state"]),
        ("Why", found["why"]),
        ("Next", _next(found, now)),
        ("Pool", "%s, %s" % (found["pool"], _since("joined", found["joined"], now))),
        ("Group", found["group"] or "(no name)"),
        ("Takes", found["start"] or "(nothing: not configured)"),
        ("Claimed", "%d slots" % found["claimed"]),
        ("Health", found["health"]),
        ("Ends", _at(found["ends"], now) if found["ends"] else "no MaxLifetime"),
        ("Image", "%s, by worker-bakery %s" % made),
    ]
    stale = now - found["at"]
    if stale > STALE:
        rows.append(("Caution", "as of %s ago: worker-life.service does not run" % _span(stale)))
    return ["%-8s %s" % (name + ":", value) for name, value in rows]


def _next(found: Mapping[str, Any], now: float) -> str:
    if not found["deadline"]:
        return "nothing by itself"
    end = _ENDS[found["on_idle"]]
    return "%s %s, unless things change" % (end, _at(found["deadline"], now))


def _since(what: str, at: Optional[int], now: float) -> str:
    return "%s %s ago" % (what, _span(now - at)) if at else "not %s" % what


def _at(epoch: float, now: float) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(epoch))
    return "at %s (in %s)" % (when, _span(epoch - now)) if epoch > now else "at %s (now)" % when


def _span(seconds: float) -> str:
    if seconds < 120:
        return "%d s" % seconds
    return "%d min" % (seconds // 60) if seconds < 7200 else "%d h" % (seconds // 3600)
