"""`worker stopped`, ExecStopPost= of condor.service: records whether HTCondor exited because it was idle.

HTCondor exits successfully both when it has been idle for long enough and when somebody stops it. But
stopping or restarting a unit and shutting down the machine happen by a job of systemd, which still exists
while this program runs. The shutdown of the worker is left to `worker watch`.
"""

import subprocess
from typing import Mapping

from worker_runtime.system import exit_marker, status_socket
from worker_runtime.system.systemd import CONDOR_UNIT, parse_properties


def is_idle_exit(properties: Mapping[str, str]) -> bool:
    """Whether condor_master exited successfully without a request to stop; a crash does not count.

    Result= is not used, because it is a failure if a process of a job outlived the master.
    """
    nobody_asked = properties.get("Job", "") in ("", "0")
    exited = properties.get("ExecMainCode") == "1"  # CLD_EXITED, of <signal.h>
    return exited and properties.get("ExecMainStatus") in ("0", "99") and nobody_asked


def main() -> int:
    """Record an idle exit, and make the watch inspect the worker."""
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
