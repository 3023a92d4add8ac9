"""`worker stopped`, ExecStopPost= of condor.service: was this an idle exit? Then the worker goes.

HTCondor ends with success both when it has been idle for long enough and when somebody stops
it; but whoever stops or restarts a unit, or shuts the machine down, does so by a job of
systemd's, which is still there while this runs. How the worker goes is for `worker watch`.
"""

import subprocess
from typing import Mapping

from worker_runtime.system import exit_marker, status_socket
from worker_runtime.system.systemd import CONDOR_UNIT, parse_properties


def is_idle_exit(properties: Mapping[str, str]) -> bool:
    """condor_master has ended with success (a crash is none), and nobody asked for that.

    Not Result=: that is a failure already if anything of a job's outlived the master.
    """
    nobody_asked = properties.get("Job", "") in ("", "0")
    exited = properties.get("ExecMainCode") == "1"  # CLD_EXITED, of <signal.h>
    return exited and properties.get("ExecMainStatus") in ("0", "99") and nobody_asked


def main() -> int:
    wanted = ["-p", "Job", "-p", "ExecMainCode", "-p", "ExecMainStatus"]
    shown = subprocess.check_output(["systemctl", "show", *wanted, CONDOR_UNIT])
    if is_idle_exit(parse_properties(shown.decode("utf-8", "replace"))):
        exit_marker.create()
    status_socket.wake_watch()
    return 0


def started() -> int:
    """`worker started`, ExecStartPre= of condor.service."""
    exit_marker.clear()
    return 0
