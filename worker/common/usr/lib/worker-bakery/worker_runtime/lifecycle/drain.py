"""A drain: no new jobs, and running ones may go on for a time; then they are asked to end.

HTCondor does this by itself when it is stopped in order, by settings that exist for the drain only:
99-worker-drain.config includes the file CONFIG.

`worker drain` is ExecStop= of condor.service, so that a shutdown of the machine by its power button, by the
cloud or by systemctl waits for jobs; and for the preStop hook of Kubernetes in a container, where the first
process does the same upon SIGTERM.
"""

import os
import signal
import time
from typing import Callable, Mapping

from worker_runtime.configuration import settings
from worker_runtime.lifecycle import observe, states
from worker_runtime.system import exit_marker, files, paths, systemd
from worker_runtime.system.command import run
from worker_runtime.system.console import log

RELOAD = ("condor_reconfig", "-daemon", "startd")
SECONDS = 10  # for condor_reconfig
POLL_SECONDS = 1.0
EXTENSION_SECONDS = 60  # for which each message extends TimeoutStopSec= of the unit
FIRST_PROCESS = 1
# MachineMaxVacateTime in 30-worker-jobs.config, which the startd reads at its start only.
VACATE_SECONDS = 600
FOREVER = 10 * 366 * 24 * 3600  # seconds
_CONFIG = """\
# Written by the worker for a drain.
START = False
# A job may run for so long in all, but its eviction begins MachineMaxVacateTime earlier. Jobs that are to
# be held have no retirement.
MAXJOBRETIREMENTTIME = ifThenElse($(MAXJOBRETIREMENTTIME:0) < 0, -1, %d - (MY.JobStart ?: time()))
"""


def main() -> int:
    """Drain, and wait for the end of HTCondor; the exit status."""
    if not os.path.isdir(systemd.RUNNING):
        return drain_container()
    master, limit = main_process(os.environ), float(settings.current()["DrainTimeout"])
    if not master:
        return 0
    if limit:
        log("HTCondor is stopped: running jobs have %d s to end" % limit)
        prepare(limit)
        os.kill(master, signal.SIGTERM)
        wait(lambda: is_running(master), limit + states.STOP_SECONDS)
    else:
        end_retirement()
    return 0


def drain_container() -> int:
    """Make the first process drain; the end of the container ends this process, too."""
    os.kill(FIRST_PROCESS, signal.SIGTERM)
    while os.path.exists(paths.RUN):
        time.sleep(POLL_SECONDS)
    return 0


def prepare(seconds: float) -> None:
    """Let the startd accept no job from now on, and running ones go on for so long when it is stopped."""
    end = time.time() + min(seconds, FOREVER)
    if not files.put(exit_marker.DRAIN, config(end).encode("ascii"), 0o644):
        return
    done = run(RELOAD, SECONDS)
    if done.status != 0:
        log("%s: %s" % (RELOAD[0], done.error or "status %d" % done.status))
    observe.slots()  # answered after the order


def end_retirement() -> None:
    """Let running jobs be asked to end as soon as HTCondor is stopped.

    During a drain by condor_drain they may take as long as they need: they would be killed without notice.
    """
    found = observe.slots()
    if found and found.claimed:
        prepare(0)


def config(end: float) -> str:
    """The settings of a drain that ends at this time, in seconds since 1970."""
    return _CONFIG % (end + VACATE_SECONDS)


def main_process(environment: Mapping[str, str]) -> int:
    """The PID of condor_master; 0 if it has ended, as systemd runs ExecStop= then, too."""
    found = environment.get("MAINPID", "")
    return int(found) if found.isdigit() else 0


def is_running(pid: int) -> bool:
    """Whether there is such a process."""
    return os.path.exists("/proc/%d" % pid)


def wait(running: Callable[[], bool], seconds: float) -> None:
    """Wait for the end, at most so long; systemd is told to wait, too."""
    end = time.monotonic() + seconds
    while running() and time.monotonic() < end:
        systemd.notify(b"EXTEND_TIMEOUT_USEC=%d" % (EXTENSION_SECONDS * 10**6))
        time.sleep(POLL_SECONDS)
