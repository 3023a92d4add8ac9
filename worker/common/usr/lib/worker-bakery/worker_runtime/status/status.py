"""`worker-image status`: in what state the worker is and why, in some ten lines or as JSON.

Root asks the watch, which looks and answers. Everybody else, and root where no watch runs, has what it last
published in /run, with its age; so nothing in it is secret.
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

_ENDS = {"poweroff": "powers off", "exit": "ends", "stop": "stops HTCondor", "none": "nothing"}
# A look has time limits of its own for each question; this is as long as a person waits.
ANSWER_SECONDS = 60


# --- what is known ------------------------------------------------------------------------------


class Known(NamedTuple):
    found: Dict[str, Any]  # what data() made; empty: nothing is known since the machine's start
    live: bool  # by a look that was made for this question
    remark: str = ""  # why it is not
    watched: bool = True  # does the watch run, so far as can be seen


def latest(seconds: float) -> Known:
    """What there is to know of this worker, at the latest after so many seconds."""
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
    """What systemd says of a watch that does not run; "" of one that does, and where no systemd is."""
    if not os.path.isdir(systemd.RUNNING):
        return ""
    state = systemd.active_state(systemd.WATCH_UNIT)
    return "" if state == "active" else state or "systemd does not say"


# --- what is said -------------------------------------------------------------------------------


def main(as_json: bool) -> int:
    """0: it is so; 3: the worker's life is not looked after (yet), so this is old, or nothing is known."""
    what = latest(ANSWER_SECONDS)
    if not what.found:
        print("There is no state yet: the watch has not run since this machine's start (%s)." % what.remark)
        return 3
    found = with_age(what, files.read_json(paths.HEALTH))
    if as_json:
        print(json.dumps(found, indent=1, sort_keys=True))
    else:
        print(printable("\n".join(format_lines(found, time.time())), sys.stdout.encoding or "ascii"))
    return 0 if what.watched else 3


def printable(text: str, encoding: str) -> str:
    """With escapes for what a terminal cannot show: under LANG=C, Python 3.6 would end there."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def with_age(what: Known, health: Mapping[str, Any]) -> Dict[str, Any]:
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


def format_lines(found: Mapping[str, Any], now: float) -> List[str]:
    """What a person wants to know first."""
    image = found["image"]
    made = (image["WorkerImage"] or "?", image["WorkerBakeryVersion"] or "?")
    rows = [
        ("State", found["state"]),
        ("Why", found["why"]),
        *_pending_lines(found),
        ("Next", _next_text(found, now)),
        ("Pool", _pool_text(found, now)),
        ("Group", found["group"] or "(no name)"),
        ("Takes", found["start"] or "(nothing: not configured)"),
        ("Claimed", "%d slots" % found["claimed"]),
        ("Health", _health_text(found["health"], found["health_at"], now)),
        ("Ends", _time_text(found["ends"], now) if found["ends"] else "no MaxLifetime"),
        ("Image", "%s, by worker-bakery %s" % made),
        *_age_lines(found),
    ]
    return ["%-8s %s" % (name + ":", value) for name, value in rows]


def _pending_lines(found: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """What is waited for, and what is wrong; the other lines are of what holds until then."""
    pending = [("Pending", found["pending"])] if found["pending"] else []
    # Of servers, those that do not stand under "Why" already.
    ill = [one["problem"] for one in found["servers"] if one["problem"] not in found["why"]]
    return pending + [("Problem", problem) for problem in (*found["problems"], *dict.fromkeys(ill))]


def _age_lines(found: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """As of when it is, if it is not of now."""
    if found["live"]:
        return []
    said = "%s ago: %s" % (_duration_text(found["age"]), found["remark"])
    return [("As of" if found["watched"] and found["age"] <= STALE else "Caution", said)]


def _health_text(health: str, at: Optional[int], now: float) -> str:
    return "%s, looked at %s ago" % (health, _duration_text(now - at)) if at else health


def _next_text(found: Mapping[str, Any], now: float) -> str:
    if not found["deadline"]:
        return "nothing by itself"
    end = _ENDS[found["on_idle"]]
    return "%s %s, unless things change" % (end, _time_text(found["deadline"], now))


def pool_is_behind(found: Mapping[str, Any]) -> bool:
    """Is it in the pool, but there as it was before?"""
    return found["state"] in IN_POOL and not found["advertised"]


def _pool_text(found: Mapping[str, Any], now: float) -> str:
    at = found["joined"]
    since = "joined %s ago" % _duration_text(now - at) if at else "not joined"
    more = ", does not show the last change yet" if pool_is_behind(found) else ""
    return "%s, %s%s" % (", ".join(servers.addresses(found["pool"])), since, more)


def _time_text(epoch: float, now: float) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(epoch))
    return "at %s (in %s)" % (when, _duration_text(epoch - now)) if epoch > now else "at %s (now)" % when


def _duration_text(seconds: float) -> str:
    if seconds < 120:
        return "%d s" % max(0, seconds)
    return "%d min" % (seconds // 60) if seconds < 7200 else "%d h" % (seconds // 3600)
