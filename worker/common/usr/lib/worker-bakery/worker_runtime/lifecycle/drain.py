"""`worker drain`: no new jobs; running ones may end within DrainTimeout. Returns when HTCondor has ended.

It is ExecStop= of condor.service, so that a shutdown of the machine by its power button, by the cloud or by
systemctl waits for jobs; and for the preStop hook of Kubernetes in a container, where the first process does
the same upon SIGTERM.
"""

import os
import signal
import time
from typing import Callable, Mapping

from worker_runtime.configuration import settings
from worker_runtime.lifecycle import states, watch
from worker_runtime.system import paths, systemd
from worker_runtime.system.command import run
from worker_runtime.system.console import log

SECONDS = 20  # for a program of HTCondor
POLL_SECONDS = 1.0
EXTENSION_SECONDS = 60  # for which each message extends TimeoutStopSec= of the unit
FIRST_PROCESS = 1


def main() -> int:
    """Drain, and wait for the end of HTCondor; the exit status."""
    if not os.path.isdir(systemd.RUNNING):
        return drain_container()
    master, limit = main_process(os.environ), float(settings.current()["DrainTimeout"])
    if master and limit:
        log("HTCondor is stopped: running jobs have %d s to end" % limit)
        if ordered("drain"):
            wait(lambda: is_running(master), limit)
        if is_running(master) and ordered("vacate"):
            wait(lambda: is_running(master), states.STOP_SECONDS)
    return 0


def drain_container() -> int:
    """Make the first process drain; the end of the container ends this process, too."""
    os.kill(FIRST_PROCESS, signal.SIGTERM)
    while os.path.exists(paths.RUN):
        time.sleep(POLL_SECONDS)
    return 0


def ordered(action: str) -> bool:
    """Whether HTCondor has received the order, as the watch gives it."""
    [argv] = watch.ORDERS[action]
    done = run(argv, SECONDS)
    if done.status != 0:
        log("%s: %s" % (argv[0], done.error or "status %d" % done.status))
    return done.status == 0


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
        watch.notify(b"EXTEND_TIMEOUT_USEC=%d" % (EXTENSION_SECONDS * 10**6))
        time.sleep(POLL_SECONDS)
