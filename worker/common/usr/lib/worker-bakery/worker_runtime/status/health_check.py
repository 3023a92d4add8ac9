"""`worker alive`, the health check of a container: is there a current state, and does HTCondor answer?"""

import time
from typing import Any, Mapping

from worker_runtime.system import files, paths

STALE = 120  # seconds since the last inspection after which the watch counts as dead
START = 300  # seconds within which HTCondor answers after its start, also on a slow machine


def main() -> int:
    """Print the state; 1 if HTCondor does not answer, or if the watch does not run."""
    state = files.read_json(paths.STATUS)
    if not state or age(state) > STALE or state["state"] in ("silent", "stopped") or is_stuck(state):
        print(state.get("why", "there is no state yet"))
        return 1
    print("%s: %s" % (state["state"], state["why"]))
    return 0


def is_stuck(state: Mapping[str, Any]) -> bool:
    """Whether HTCondor should have answered by now; without WatchdogTimeout, the worker waits for ever."""
    since = state["at"] - (state["answered"] or state["at"])
    return bool(state["state"] == "starting" and since > START)


def age(state: Mapping[str, Any]) -> float:
    """Seconds since the inspection. Not by the time of day, which may have been set since then."""
    return max(0.0, time.monotonic() - float(state["looked"]))
