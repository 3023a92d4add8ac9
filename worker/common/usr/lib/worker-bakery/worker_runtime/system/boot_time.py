"""Finds out when the machine booted; deadlines count from there.

The kernel's uptime is not used, because in a container it is the host's. systemd knows everywhere when it
started itself.
"""

import os
import subprocess
import time

from worker_runtime.system import files, paths

BOOT_TIME_FILE = paths.RUN + "/booted"
_PROPERTY = "UserspaceTimestampMonotonic"


def boot_monotonic() -> float:
    """When systemd started, in seconds on the scale of time.monotonic()."""
    shown = subprocess.check_output(["systemctl", "show", "-p", _PROPERTY], timeout=60)
    return int(shown.decode("ascii").strip().partition("=")[2]) / 1e6


def boot_epoch() -> int:
    """The same in seconds since 1970.

    It is computed once and stored, so that a clock that is set later does not move it.
    """
    try:
        with open(BOOT_TIME_FILE, encoding="ascii") as file:
            return int(file.read())
    except FileNotFoundError:
        at = int(time.time() - time.monotonic() + boot_monotonic())
        os.makedirs(paths.RUN, 0o755, exist_ok=True)
        files.put(BOOT_TIME_FILE, b"%d" % at, 0o644)
        return at
