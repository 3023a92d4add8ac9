"""Since when this machine runs. Seconds since boot are what deadlines are counted in.

The kernel's own uptime is not asked: in a container it is the host's. systemd knows when it
itself began, everywhere.
"""

import os
import subprocess
import time

from worker_runtime.system import files, paths

BOOT_TIME_FILE = paths.RUN + "/booted"
_PROPERTY = "UserspaceTimestampMonotonic"


def boot_monotonic() -> float:
    """When systemd began, on time.monotonic()'s scale."""
    shown = subprocess.check_output(["systemctl", "show", "-p", _PROPERTY], timeout=60)
    return int(shown.decode("ascii").strip().partition("=")[2]) / 1e6


def boot_epoch() -> int:
    """The same as seconds since 1970, asked once: a clock that is set later must not move it."""
    try:
        with open(BOOT_TIME_FILE, encoding="ascii") as file:
            return int(file.read())
    except FileNotFoundError:
        at = int(time.time() - time.monotonic() + boot_monotonic())
        os.makedirs(paths.RUN, 0o755, exist_ok=True)
        files.put(BOOT_TIME_FILE, b"%d" % at, 0o644)
        return at
