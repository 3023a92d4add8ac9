"""A container's first process: it passes signals on, and waits for the dead whom nobody else waits for.

The worker itself is a second process: who waits for anybody would take from others the end of their
own children.
"""

import ctypes
import os
import signal
import sys
import time
from typing import Callable, List

FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
KILL_SECONDS = 10  # for what was killed to be gone


def run(worker: Callable[[], int]) -> int:
    """Run the worker to its end; then nothing of it is left. Its status."""
    # Where we are not PID 1 (docker run --init, or no container at all), orphans come to us all the same.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = os.fork()
    if child == 0:
        _run_worker(worker)
    for number in FORWARDED_SIGNALS:
        signal.signal(number, lambda number, _: os.kill(child, number))
    status = wait_for(child)
    for number in FORWARDED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # there is nobody left to pass it on to
    kill_remaining()
    return status


def _run_worker(worker: Callable[[], int]) -> None:
    """Never comes back: what called us is the first process's business."""
    status = 1
    try:
        status = worker()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def wait_for(child: int) -> int:
    """Wait for everybody, until it was the worker; its exit status, 128 + N for signal N."""
    while True:
        pid, status = os.wait()
        if pid == child:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def kill_remaining() -> None:
    """Whatever the worker left. A child's children become ours when it ends."""
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
    me = os.getpid()
    with open("/proc/%d/task/%d/children" % (me, me), encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]
