"""`worker alive`, the health check of a container: is there a current state, and does HTCondor answer?"""

import time
from typing import Any, Mapping

from worker_runtime.system import files, paths

STALE = 120  # seconds since the last inspection after which the watch counts as dead


def main() -> int:
    """Print the state; 1 if HTCondor does not answer, or if the watch does not run."""
    state = files.read_json(paths.STATUS)
    if not state or age(state) > STALE or state["state"] in ("silent", "stopped"):
        print(state.get("why", "there is no state yet"))
        return 1
    print("%s: %s" % (state["state"], state["why"]))
    return 0


def age(state: Mapping[str, Any]) -> float:
    """Seconds since the inspection. Not by the time of day, which may have been set since then."""
    return max(0.0, time.monotonic() - float(state["looked"]))
