"""`worker alive`, a container's health check: fails without an answer of HTCondor or a watch."""

import time
from typing import Any, Mapping

from worker_runtime.system import files, paths

STALE = 120  # seconds since the last inspection after which the watch counts as dead


def main() -> int:
    found = files.read_json(paths.STATUS)
    if not found or age(found) > STALE or found["state"] in ("silent", "stopped"):
        print(found.get("why", "there is no state yet"))
        return 1
    print("%s: %s" % (found["state"], found["why"]))
    return 0


def age(found: Mapping[str, Any]) -> float:
    """Seconds since the look. Not by the clock of the day, which may have been set since then."""
    return max(0.0, time.monotonic() - float(found["looked"]))
