"""`worker-image wait --for STATE`: wait until the worker is so far, or say why it is not.

    configured   HTCondor has been told what the worker's file says now
    joined       the pool shows this worker, as it is configured now
    idle         the same, and no slot is claimed
    stopped      the worker's life is over: HTCondor has ended, as was wanted, and is not started again

A mistake in the worker's file does not end the wait: the file may be corrected, and is read again then.
What ends it is a life that is over, and a file that nobody reads any more.
"""

import re
import sys
import time
from typing import Any, Mapping, NamedTuple, Optional

from worker_runtime.configuration import applied
from worker_runtime.lifecycle import states
from worker_runtime.status import status

STATES = ("configured", "joined", "idle", "stopped")
TIMEOUT = "10m"
_DURATION = re.compile(r"([0-9]{1,9})(s|m|h|)\Z")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_POLL_SECONDS = 1.0  # seconds between an answer and the next question
_DOWN = ("inactive", "failed")


class Verdict(NamedTuple):
    holds: bool
    why: str  # what the worker is doing
    hopeless: bool = False  # and that will not change


def parse_duration(text: str) -> Optional[float]:
    """Of 90, 90s, 10m, 2h; None if it is none of these."""
    found = _DURATION.match(text)
    return float(int(found.group(1)) * _UNITS[found.group(2)]) if found else None


def main(state: str, timeout: float) -> int:
    """0: it is so; 1: it is not, and why is said on stderr."""
    begun = time.monotonic()
    verdict = wait_for(state, begun, begun + timeout)
    if verdict.holds:
        print(verdict.why)
        return 0
    limit = "and will not be" if verdict.hopeless else "within %d s" % timeout
    sys.stderr.write("not %s %s: %s\n" % (state, limit, verdict.why))
    return 1


def wait_for(state: str, begun: float, end: float) -> Verdict:
    """`begun` and `end`: time.monotonic()."""
    while True:
        left = end - time.monotonic()
        verdict = verdict_of(state, status.latest(max(1.0, min(status.ANSWER_SECONDS, left))), begun)
        if verdict.holds or verdict.hopeless or time.monotonic() + _POLL_SECONDS > end:
            return verdict
        time.sleep(_POLL_SECONDS)


def verdict_of(state: str, what: status.Known, begun: float) -> Verdict:
    """What an answer means for who waits since `begun`. Pure."""
    if not what.found:
        return Verdict(False, "there is no state yet; %s" % what.remark)
    verdict = evaluate(state, what.found)
    if what.live or (what.watched and float(what.found["looked"]) >= begun):
        return verdict
    return Verdict(False, "%s (of an earlier look; %s)" % (verdict.why, what.remark))


def evaluate(state: str, found: Mapping[str, Any]) -> Verdict:
    """By a look of now. Pure."""
    why = describe(found)
    settled = bool(found["configured"]) and not found["pending"] and not found["problems"]
    over = found["state"] in ("stopping", "stopped")
    if state == "stopped":
        down = found["state"] in ("stopping", "silent") and found["htcondor"] in _DOWN
        return Verdict(found["state"] == "stopped" or down, why)
    if state == "configured":
        return Verdict(settled, why, hopeless=found["pending"].endswith(applied.NOT_READ))
    here = found["state"] in (("idle",) if state == "idle" else states.IN_POOL) and found["advertised"]
    unread = found["pending"].endswith(applied.NOT_READ)
    return Verdict(settled and bool(here), why, hopeless=unread or (settled and over))


def describe(found: Mapping[str, Any]) -> str:
    """In one line: the state, and whatever is in the way."""
    parts = ["%s: %s" % (found["state"], found["why"])]
    parts += [found["pending"]] if found["pending"] else []
    parts += found["problems"]
    if status.pool_is_behind(found):
        parts.append("the pool does not show the last change yet")
    return "; ".join(parts)
