"""`worker-image wait --for STATE`: waits until the worker reaches a state, or says why it does not.

    configured   HTCondor has the current configuration of the worker's file
    joined       the pool shows this worker with its current configuration
    idle         joined, and no slot is claimed
    stopped      HTCondor has exited as intended and is not started again

A mistake in the worker's file does not end the wait, because the file may be corrected and is then read
again. A worker that has stopped ends the wait, and a file that is not read any more.
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
_POLL_SECONDS = 1.0  # seconds between an answer and the next request
_DOWN = ("inactive", "failed")


class Verdict(NamedTuple):
    """Whether the state is reached."""

    holds: bool
    why: str  # the current state of the worker
    hopeless: bool = False  # the state cannot be reached any more


def parse_duration(text: str) -> Optional[float]:
    """The seconds of 90, 90s, 10m or 2h; None for anything else."""
    found = _DURATION.match(text)
    return float(int(found.group(1)) * _UNITS[found.group(2)]) if found else None


def main(state: str, timeout: float) -> int:
    """Wait for the state. 0: it is reached; 1: it is not, and stderr says why."""
    begun = time.monotonic()
    verdict = wait_for(state, begun, begun + timeout)
    if verdict.holds:
        print(verdict.why)
        return 0
    limit = "and will not be" if verdict.hopeless else "within %d s" % timeout
    sys.stderr.write("not %s %s: %s\n" % (state, limit, verdict.why))
    return 1


def wait_for(state: str, begun: float, end: float) -> Verdict:
    """Ask until the state is reached or cannot be reached; `begun` and `end` are time.monotonic()."""
    while True:
        left = end - time.monotonic()
        verdict = verdict_of(state, status.latest(max(1.0, min(status.ANSWER_SECONDS, left))), begun)
        if verdict.holds or verdict.hopeless or time.monotonic() + _POLL_SECONDS > end:
            return verdict
        time.sleep(_POLL_SECONDS)


def verdict_of(state: str, known: status.Known, begun: float) -> Verdict:
    """What an answer means for somebody who has waited since `begun`. Pure."""
    if not known.found:
        return Verdict(False, "there is no state yet; %s" % known.remark)
    verdict = evaluate(state, known.found)
    if known.live or (known.watched and float(known.found["looked"]) >= begun):
        return verdict
    return Verdict(False, "%s (of an earlier inspection; %s)" % (verdict.why, known.remark))


def evaluate(state: str, found: Mapping[str, Any]) -> Verdict:
    """Whether the state is reached, by a current inspection. Pure."""
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
    """The state and everything that is in the way, on one line."""
    parts = ["%s: %s" % (found["state"], found["why"])]
    parts += [found["pending"]] if found["pending"] else []
    parts += found["problems"]
    if status.pool_is_behind(found):
        parts.append("the pool does not show the last change yet")
    return "; ".join(parts)
