"""`worker-image status`: shows the state of the worker in about ten lines or as JSON.

For root, the watch inspects the worker and answers. Everybody else, and root without a running watch, gets
the state that was last published in /run with its age; so it contains no secrets.
"""

import json
import os
import sys
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from worker_runtime.configuration import servers
from worker_runtime.lifecycle.states import IN_POOL
from worker_runtime.status.health_check import STALE, age
from worker_runtime.system import files, paths, status_socket, systemd

_ENDS = {
    "poweroff": "powers off",
    "delete": "deletes its server",
    "exit": "ends",
    "stop": "stops HTCondor",
    "none": "nothing",
}
# Each question of an inspection has its own time limit; this is how long a person waits.
ANSWER_SECONDS = 60


# --- the latest state -----------------------------------------------------------------------------


class Known(NamedTuple):
    """The state as far as it is known."""

    found: Dict[str, Any]  # of report.build(); empty: no state since boot
    live: bool  # by an inspection that this question caused
    remark: str = ""  # why it is not live
    watched: bool = True  # whether the watch runs, as far as is known


def latest(seconds: float) -> Known:
    """The latest state, at most after so many seconds."""
    try:
        return Known(status_socket.request(seconds), live=True)
    except status_socket.TimedOut as reason:
        return Known(files.read_json(paths.STATUS), False, str(reason))
    except status_socket.NotPermitted as reason:
        state = watch_state()
        remark = "%s does not run (%s)" % (systemd.WATCH_UNIT, state) if state else str(reason)
        return Known(files.read_json(paths.STATUS), False, remark, not state)
    except status_socket.NotRunning as reason:
        state = watch_state()
        remark = "%s does not run (%s)" % (systemd.WATCH_UNIT, state) if state else str(reason)
        return Known(files.read_json(paths.STATUS), False, remark, False)


def watch_state() -> str:
    """What systemd says about a watch that does not run; "" if it runs, or without systemd."""
    if not os.path.isdir(systemd.RUNNING):
        return ""
    state = systemd.active_state(systemd.WATCH_UNIT)
    return "" if state == "active" else state or "unknown to systemd"


# --- its output -----------------------------------------------------------------------------------


def main(as_json: bool) -> int:
    """Print the state. 0: success; 3: the watch does not run, so the state is old or unknown."""
    known = latest(ANSWER_SECONDS)
    if not known.found:
        print("There is no state yet: the watch has not run since boot (%s)." % known.remark)
        return 3
    found = with_age(known, files.read_json(paths.HEALTH))
    if as_json:
        print(json.dumps(found, indent=1, sort_keys=True))
    else:
        print(printable("\n".join(format_lines(found, time.time())), sys.stdout.encoding or "ascii"))
    return 0 if known.watched else 3


def printable(text: str, encoding: str) -> str:
    """With escapes for what a terminal cannot show: Python 3.6 would fail under LANG=C."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def with_age(known: Known, health: Mapping[str, Any]) -> Dict[str, Any]:
    """With the age of the state, and with the health report, which the probe writes by itself."""
    return dict(
        known.found,
        live=known.live,
        age=round(age(known.found), 1),
        remark=known.remark,
        watched=known.watched,
        health=health.get("status", "not checked yet"),
        health_at=health.get("at"),
    )


def format_lines(found: Mapping[str, Any], now: float) -> List[str]:
    """The lines that a person wants to read first."""
    image = found["image"]
    image_names = (image["WorkerImage"] or "?", image["WorkerBakeryVersion"] or "?")
    rows = [
        ("State", found["state"]),
        ("Why", found["why"]),
        *_pending_lines(found),
        ("Next", _next_text(found, now)),
        ("Pool", _pool_text(found, now)),
        ("Group", found["group"] or "(no name)"),
        ("Takes", found["start"] or "(no jobs: not configured)"),
        ("Token", _token_text(found, now)),
        ("Claimed", "%d slots" % found["claimed"]),
        ("Health", _health_text(found["health"], found["health_at"], now)),
        ("Ends", _time_text(found["ends"], now) if found["ends"] else "no MaxLifetime"),
        ("Image", "%s, by worker-bakery %s" % image_names),
        *_age_lines(found),
    ]
    return ["%-8s %s" % (name + ":", value) for name, value in rows]


def _pending_lines(found: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """What the worker waits for, and what is wrong; the other lines apply until then."""
    pending = [("Pending", found["pending"])] if found["pending"] else []
    # Problems of servers that "Why" does not mention.
    server_problems = [one["problem"] for one in found["servers"] if one["problem"] not in found["why"]]
    return pending + [
        ("Problem", problem) for problem in (*found["problems"], *dict.fromkeys(server_problems))
    ]


def _age_lines(found: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """The age of the state, if it is not current."""
    if found["live"]:
        return []
    text = "%s ago: %s" % (_duration_text(found["age"]), found["remark"])
    return [("As of" if found["watched"] and found["age"] <= STALE else "Caution", text)]


def _health_text(health: str, at: Optional[int], now: float) -> str:
    return "%s, checked %s ago" % (health, _duration_text(now - at)) if at else health


def _next_text(found: Mapping[str, Any], now: float) -> str:
    if not found["deadline"]:
        return "nothing scheduled"
    end = _ENDS[found["on_idle"]]
    return "%s %s, unless the state changes" % (end, _time_text(found["deadline"], now))


def pool_is_behind(found: Mapping[str, Any]) -> bool:
    """Whether the worker is in the pool, but the pool does not show its current configuration."""
    return found["state"] in IN_POOL and not found["advertised"]


def _token_text(found: Mapping[str, Any], now: float) -> str:
    """Until when the token is valid, and whether the worker gets another one."""
    expires, renewed = found["token"]["expires"], found["token"]["renewed"]
    if not found["configured"]:
        return "(none: not configured)"
    if not expires:
        return "does not expire"
    if expires <= now:
        return "expired %s" % _time_text(expires, now)
    more = ", renewed %s" % _time_text(renewed, now) if renewed else ""
    return "valid until %s%s" % (_when_text(expires, now), more)


def _pool_text(found: Mapping[str, Any], now: float) -> str:
    at = found["joined"]
    since = "joined %s ago" % _duration_text(now - at) if at else "not joined"
    more = ", does not show the last change yet" if pool_is_behind(found) else ""
    return "%s, %s%s" % (", ".join(servers.addresses(found["pool"])), since, more)


def _time_text(epoch: float, now: float) -> str:
    return "at " + _when_text(epoch, now)


def _when_text(epoch: float, now: float) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(epoch))
    return "%s (in %s)" % (when, _duration_text(epoch - now)) if epoch > now else "%s (now)" % when


def _duration_text(seconds: float) -> str:
    if seconds < 120:
        return "%d s" % max(0, seconds)
    if seconds < 7200:
        return "%d min" % (seconds // 60)
    return "%d h" % (seconds // 3600) if seconds < 172800 else "%d days" % (seconds // 86400)
