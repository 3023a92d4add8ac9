"""Supervises HTCondor in a container to its end, with the inspections of lifecycle/watch.py."""

import contextlib
import os
import select
import signal
import time
from typing import Any, Callable, List, NamedTuple, Optional

from worker_runtime.configuration import applied
from worker_runtime.container import init
from worker_runtime.container.inputs import Inputs
from worker_runtime.container.master import Master
from worker_runtime.container.preparation import install
from worker_runtime.lifecycle import drain as draining
from worker_runtime.lifecycle import inspection, preemption, report, states, watch
from worker_runtime.lifecycle.inspection import Inspection, Service
from worker_runtime.lifecycle.states import Status
from worker_runtime.lifecycle.watch import WatchState
from worker_runtime.system.console import log
from worker_runtime.system.status_socket import StatusServer

# Seconds for jobs to end after a first signal; then for a fast shutdown, before HTCondor is killed.
GRACE_SECONDS, FAST_SECONDS = states.STOP_SECONDS, 30


class StopRequests(NamedTuple):
    """The number of requests to stop, and the time of the first (time.monotonic())."""

    times: int = 0
    since: float = 0.0


class SignalPipe:
    """A pipe that becomes readable when a signal arrives."""

    def __init__(self) -> None:
        self.requests = StopRequests()
        self._read_end, write_end = os.pipe()
        for end in (self._read_end, write_end):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(write_end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in init.FORWARDED_SIGNALS:
            signal.signal(number, self._count)

    def _count(self, *_: Any) -> None:
        self.requests = StopRequests(self.requests.times + 1, self.requests.since or time.monotonic())

    @property
    def fd(self) -> int:
        return self._read_end

    def drain(self) -> None:
        """Forget the signals so far."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_end, 1024)

    def wait(self, seconds: float) -> None:
        select.select([self._read_end], [], [], seconds)
        self.drain()


def supervise(master: Master, inputs: Inputs) -> int:
    """Supervise HTCondor to the end of the worker, and so of the container."""
    signals, server, changed = SignalPipe(), StatusServer(), inspection.file_times(inputs.kind)
    master.start()

    def current() -> object:
        return changed(), master.status()

    service = Service(
        inputs.kind,
        time.monotonic(),
        master.unit,
        master.order,
        inputs.file_status,
        lambda: applied.BEING_READ,
        inputs.request_reload,
    )
    state, result = WatchState(states.Memory()), None  # type: WatchState, Optional[Inspection]
    preemption.start()
    while not signals.requests.times:
        before = current()
        # Before the inspection, so that the reported state belongs to the current files.
        conf = inputs.reload()
        if conf and install(inputs.kind, conf, inputs.machine):
            log("HTCondor loads the new configuration")
            master.order("reload")
        state, result = watch.step(state, service, server)
        if state.order.action in ("off", "force"):
            return 0 if states.succeeded(state.memory) else 1
        # Signals so far may come from the programs that an inspection starts.
        signals.drain()
        if not signals.requests.times:
            server.wait(watch.seconds_to_wait(state, result), current, before, [signals.fd])
    return stop(
        master,
        signals,
        result.limits.drain if result else 0.0,
        may_answer(result, state),
        lambda status: tell(status, state, result, service, server),
    )


def may_answer(last: Optional[Inspection], state: WatchState) -> bool:
    """Whether the startd answered at the last inspection, or may have started since.

    Asking one that has stopped answering would take some time.
    """
    return last is not None and bool(last.facts.startd or not state.memory.startd)


def tell(
    status: Status, state: WatchState, last: Optional[Inspection], service: Service, server: StatusServer
) -> None:
    """Publish the status of a worker that stops: what else is known is that of the last inspection."""
    if last:
        now = last._replace(at=time.monotonic(), epoch=time.time())
        facts = last.facts._replace(now=now.at - service.began)
        server.accept()
        server.answer(
            report.publish(status, state.memory, state.progress, now._replace(facts=facts), service)
        )


def stop(
    master: Master, signals: SignalPipe, drain: float, answers: bool, tell: Callable[[Status], None]
) -> int:
    """Stop HTCondor as requested, in the end by force.

    Running jobs may go on for `drain` seconds. `answers`: see may_answer().
    """
    log("received a request to stop: jobs have %d s to end" % (drain or GRACE_SECONDS))
    master.do_not_restart()
    ordered: List[str] = []
    while master.status() is None:
        action = next_step(signals.requests, time.monotonic(), drain)
        if action not in ordered:
            if action == "drain":
                draining.prepare(drain)
            elif action == "stop" and answers and not ordered:
                draining.end_retirement()
            master.order(action)
            ordered.append(action)
        tell(Status("retiring" if action == "drain" else "stopping", "received a request to stop"))
        signals.wait(1)
    log("HTCondor has stopped")
    return 0 if "kill" not in ordered else 1


def next_step(requests: StopRequests, now: float, drain: float) -> str:
    """The next action; a second request stops jobs at once. `drain`: how long jobs may go on. Pure."""
    elapsed = now - requests.since - drain
    if requests.times == 1 and elapsed < 0:
        return "drain"
    if elapsed >= GRACE_SECONDS + FAST_SECONDS:
        return "kill"
    return "fast" if requests.times > 1 or elapsed >= GRACE_SECONDS else "stop"
