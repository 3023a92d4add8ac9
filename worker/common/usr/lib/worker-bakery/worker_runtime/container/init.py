"""The first process of a container: forwards signals and reaps orphans.

The worker itself is a second process, because a process that waits for any child takes the exit status of
children that other code waits for.
"""

import ctypes
import os
import signal
import sys
import time
from typing import Callable, List

FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
KILL_SECONDS = 10  # for killed processes to end


def run(worker: Callable[[], int]) -> int:
    """Run the worker to its end, then kill everything that it left. Return its status."""
    # Also adopt orphans where this process is not PID 1 (docker run --init, or no container).
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        _run_worker(worker)
    for number in FORWARDED_SIGNALS:
        signal.signal(number, lambda number, _: os.kill(child, number))
    status = wait_for(child)
    for number in FORWARDED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the worker has ended
    kill_remaining()
    return status


def _run_worker(worker: Callable[[], int]) -> None:
    """Run the worker and exit; never returns to the code of the first process."""
    status = 1
    try:
        status = worker()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait_for(child: int) -> int:
    """Reap all children until the worker ends; return its exit status, 128 + N for signal N."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def kill_remaining() -> None:
    """Kill the remaining processes. The children of a process become ours when it ends."""
    until = time.monotonic() + KILL_SECONDS
    while time.monotonic() < until:
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        time.sleep(0.1)


def children() -> List[int]:
    """The PIDs of the children of this process."""
    me = os.getpid()
    with open("/proc/%d/task/%d/children" % (me, me), encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]
