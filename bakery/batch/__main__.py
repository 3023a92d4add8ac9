"""`python -m bakery.batch < TASK`: the process of one job; bakery/batch/workers.py starts it.

The task comes from that process, as a pickle. Events are printed to stdout as JSON lines; the last one is
`result` or `error`, as those of `python -m provisioner`.
"""

from __future__ import annotations

import errno
import os
import pickle
import signal
import sys
from types import FrameType

from bakery.batch.task import Task, perform
from provisioner.errors import BakeryError, DiskFull, Interrupted, to_event
from provisioner.events import JsonLines

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> int:
    for number in _SIGNALS:
        signal.signal(number, _interrupt)
    monitor = JsonLines(sys.stdout)
    try:
        task: Task = pickle.load(sys.stdin.buffer)
        monitor.emit({"event": "result", **perform(task, monitor)})
    except (BakeryError, OSError) as problem:
        error = _of_the_system(problem) if isinstance(problem, OSError) else problem
        monitor.emit(to_event(error))
        return error.exit_code
    return 0


def _of_the_system(error: OSError) -> BakeryError:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"The disk is full{where}.", "Free some space, or set WORKER_BAKERY_CACHE.")
    return BakeryError(f"{error.strerror or error}{where}.")


def _interrupt(signal_number: int, _frame: FrameType | None) -> None:
    """The first signal ends the work in an orderly way; the second ends the process at once."""
    for number in _SIGNALS:
        signal.signal(number, lambda number, _: os._exit(128 + number))
    raise Interrupted(signal_number)


if __name__ == "__main__":
    sys.exit(main())
