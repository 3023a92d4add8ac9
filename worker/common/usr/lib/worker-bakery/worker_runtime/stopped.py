"""`worker stopped`, ExecStopPost= of condor.service: power off after an idle exit, only then.

HTCondor ends with success both when it has been idle for long enough and when somebody stops
it; but whoever stops or restarts a unit, or shuts the machine down, does so by a job of
systemd's, which is still there while this runs.
"""

import subprocess
from typing import Dict, Mapping

from worker_runtime.say import say

UNIT = "condor.service"


def went_by_itself(properties: Mapping[str, str]) -> bool:
    """An end with success (a crash is not) that nobody asked for."""
    nobody_asked = properties.get("Job", "") in ("", "0")
    return properties.get("Result") == "success" and nobody_asked


def properties_in(shown: str) -> Dict[str, str]:
    """What `systemctl show` printed. (--value, and $SERVICE_RESULT, are too new for EL7.)"""
    pairs = (line.partition("=") for line in shown.splitlines())
    return {name: value for name, _, value in pairs}


def main() -> int:
    shown = subprocess.check_output(["systemctl", "show", "-p", "Job", "-p", "Result", UNIT])
    if went_by_itself(properties_in(shown.decode("utf-8", "replace"))):
        say("HTCondor went away by itself, idle for long enough: powering off")
        return subprocess.call(["systemctl", "--no-block", "poweroff"])
    return 0
