"""Run the jobs of a schedule, several at once, each in a process of its own.

Processes, not threads: a signal ends each of them in the same orderly way as a single bake, also while it
waits for a lock or downloads, and the kernel ends them with this process. One thread reads their events.
"""

from __future__ import annotations

import os
import pickle
import selectors
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from subprocess import Popen
from typing import Any

from bakery.batch.schedule import Schedule, following
from bakery.batch.task import Task
from bakery.runtime import sandbox
from provisioner import errors
from provisioner.errors import BakeryError, Interrupted
from provisioner.events import Monitor
from provisioner.process import run
from provisioner.process.line_splitter import LineSplitter

_ARGV = (sys.executable, "-P", "-m", "bakery.batch")  # -P: import nothing from the current folder
_CHUNK = 1 << 16  # bytes


@dataclass(frozen=True)
class Ended:
    """`result` is what bakery.batch.task.perform returned; empty after an error."""

    seconds: float
    result: Mapping[str, Any] = field(default_factory=dict)
    error: BakeryError | None = None


@dataclass
class _Running:
    """A job whose process runs; `resources` end it and close its pipes."""

    label: str
    monitor: Monitor
    process: Popen[bytes]
    resources: ExitStack
    started: float
    made: set[str]  # of all jobs
    final: dict[str, Any] = field(default_factory=dict)  # the event `result` or `error`
    last: deque[str] = field(default_factory=lambda: deque(maxlen=run.TAIL_LINES))

    def on_line(self, text: str) -> None:
        event = sandbox.parse_event(text)
        if event["event"] in ("result", "error"):
            self.final = event
            return
        if event["event"] == "stored":
            self.made.add(event["id"])
        if event["event"] == "line":
            self.last.append(event["text"])
        self.monitor.emit({**event, "label": self.label})

    def ended(self) -> Ended:
        """How it ended; its output is at an end."""
        status, seconds = self.process.wait(), time.monotonic() - self.started
        if self.final.get("event") == "error":
            return Ended(seconds, error=errors.from_event(self.final))
        if status or not self.final:
            return Ended(seconds, error=run.failure(_ARGV, status, "\n".join(self.last)))
        return Ended(seconds, self.final)


@dataclass(frozen=True)
class _Work:
    """A schedule while its jobs are performed: those that run and those that have ended, by number."""

    schedule: Schedule
    tasks: Sequence[Task]
    labels: Sequence[str]
    monitor: Monitor
    resources: ExitStack
    outputs: selectors.BaseSelector
    made: set[str] = field(default_factory=set)  # ids of checkpoints and bases
    running: dict[int, _Running] = field(default_factory=dict)
    ended: dict[int, Ended] = field(default_factory=dict)

    def begin(self, workers: int) -> None:
        """Begin jobs that are ready, until all workers are busy."""
        while len(self.running) < workers:
            number = following(self.schedule, {*self.running, *self.ended}, self.ended, self.made)
            if number is None:
                return
            self._start(number)

    def read(self) -> None:
        """Wait for output, and pass it on; take note of the jobs that have ended."""
        for key, _ in self.outputs.select():
            job: _Running = self.running[key.data[0]]
            lines: LineSplitter = key.data[1]
            data = os.read(key.fd, _CHUNK)
            lines.feed(data)
            if not data:
                lines.close()
                self.outputs.unregister(key.fd)
                self._end(key.data[0], job.ended())
                del self.running[key.data[0]]
                job.resources.close()

    def interrupt(self, signal_number: int) -> None:
        """End all jobs in an orderly way, and wait for that. Their last events are not shown."""
        for job in self.running.values():
            job.process.send_signal(signal_number)
        for job in self.running.values():
            assert job.process.stdout
            while os.read(job.process.stdout.fileno(), _CHUNK):
                pass
            job.process.wait()

    def _start(self, number: int) -> None:
        own = self.resources.enter_context(ExitStack())
        process = own.enter_context(run.piped(_ARGV, stdin=pickle.dumps(self.tasks[number])))
        job = _Running(self.labels[number], self.monitor, process, own, time.monotonic(), self.made)
        self.running[number] = job
        assert process.stdout
        splitter = LineSplitter(job.on_line, sandbox.MAX_EVENT_LENGTH)
        self.outputs.register(process.stdout, selectors.EVENT_READ, (number, splitter))

    def _end(self, number: int, how: Ended) -> None:
        self.ended[number] = how
        event = {"event": "finished", "label": self.labels[number], "seconds": round(how.seconds, 1)}
        self.monitor.emit({**event, "error": how.error.message if how.error else ""})


def perform_all(
    schedule: Schedule, tasks: Sequence[Task], labels: Sequence[str], workers: int, monitor: Monitor
) -> tuple[Ended, ...]:
    """Perform the task of each job, at most `workers` at once; return how each ended.

    If this process is interrupted, so are all jobs; Interrupted is raised when they have ended.
    """
    with ExitStack() as resources, selectors.DefaultSelector() as outputs:
        work = _Work(schedule, tasks, labels, monitor, resources, outputs)
        try:
            while len(work.ended) < len(schedule):
                work.begin(workers)
                if work.running:
                    work.read()
        except BaseException as problem:
            number = problem.exit_code - 128 if isinstance(problem, Interrupted) else signal.SIGTERM
            work.interrupt(number)
            raise
    return tuple(work.ended[number] for number in range(len(schedule)))
