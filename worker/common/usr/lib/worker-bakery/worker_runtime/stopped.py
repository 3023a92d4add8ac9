"""`worker stopped`, ExecStopPost= of condor.service: was this an idle exit? Then the worker goes.

HTCondor ends with success both when it has been idle for long enough and when somebody stops
it; but whoever stops or restarts a unit, or shuts the machine down, does so by a job of
systemd's, which is still there while this runs. How the worker goes is for `worker watch`.
"""

import os
import subprocess
from typing import Dict, Mapping

from worker_runtime import files, query, settings

UNIT = "condor.service"
LEFT = settings.RUN + "/left"  # there while HTCondor has gone by itself


def went_by_itself(properties: Mapping[str, str]) -> bool:
    """condor_master has ended with success (a crash is none), and nobody asked for that.

    Not Result=: that is a failure already if anything of a job's outlived the master.
    """
    nobody_asked = properties.get("Job", "") in ("", "0")
    exited = properties.get("ExecMainCode") == "1"  # CLD_EXITED, of <signal.h>
    return exited and properties.get("ExecMainStatus") in ("0", "99") and nobody_asked


def properties_in(shown: str) -> Dict[str, str]:
    """What `systemctl show` printed. (--value, and $SERVICE_RESULT, are too new for EL7.)"""
    pairs = (line.partition("=") for line in shown.splitlines())
    return {name: value for name, _, value in pairs}


def main() -> int:
    wanted = ["-p", "Job", "-p", "ExecMainCode", "-p", "ExecMainStatus"]
    shown = subprocess.check_output(["systemctl", "show", *wanted, UNIT])
    if went_by_itself(properties_in(shown.decode("utf-8", "replace"))):
        os.makedirs(settings.RUN, 0o755, exist_ok=True)
        files.put(LEFT, b"", 0o644)
    query.nudge()
    return 0


def started() -> int:
    """`worker started`, ExecStartPre= of condor.service."""
    if os.path.exists(LEFT):
        os.unlink(LEFT)
    return 0
