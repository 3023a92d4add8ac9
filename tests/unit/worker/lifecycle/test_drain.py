"""The settings of a drain, and that jobs which may take for ever by condor_drain are asked to end."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from worker_runtime.configuration import settings
from worker_runtime.container import supervision
from worker_runtime.container.supervision import StopRequests
from worker_runtime.lifecycle import advertisement, drain, observe, report, watch
from worker_runtime.lifecycle.observe import Slots
from worker_runtime.lifecycle.states import Facts, Memory
from worker_runtime.lifecycle.watch import WatchState
from worker_runtime.system import systemd

from tests.unit.worker.lifecycle.test_status import seen, service


BUSY, IDLE = Slots(1, "startd_1"), Slots(0, "startd_1")


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is done, in its order: "stop" and the like, and the seconds of each drain."""
    calls: list[object] = []
    monkeypatch.setattr(drain, "prepare", calls.append)
    return calls


def answer(monkeypatch: pytest.MonkeyPatch, slots: Slots | None) -> None:
    monkeypatch.setattr(observe, "slots", lambda: slots)


class Master:
    """It ends when it is asked to."""

    def __init__(self, calls: list[object]) -> None:
        self._calls = calls
        self._status: int | None = None

    def status(self) -> int | None:
        return self._status

    def do_not_restart(self) -> None:
        pass

    def order(self, action: str) -> None:
        self._calls.append(action)
        self._status = 0


class Signals:
    requests = StopRequests(1, 0.0)

    def wait(self, seconds: float) -> None:
        pass


@pytest.mark.parametrize(
    ("slots", "answers", "expected"),
    [(BUSY, True, [0, "stop"]), (IDLE, True, ["stop"]), (BUSY, False, ["stop"])],
)
def test_a_container_that_is_stopped_ends_the_retirement_of_its_jobs_first(
    slots: Slots, answers: bool, expected: list[object], done: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    answer(monkeypatch, slots)
    master, signals = Master(done), Signals()
    assert supervision.stop(master, signals, 0, answers, lambda _: None) == 0  # type: ignore[arg-type]  # stand-ins
    assert done == expected


@pytest.mark.parametrize(
    ("before", "last", "asked"),
    [("", "", True), ("startd_1", "startd_1", True), ("startd_1", "", False), ("startd_1", "startd_2", True)],
)
def test_a_startd_is_asked_unless_it_has_stopped_answering(before: str, last: str, asked: bool) -> None:
    """One that has not answered yet may have started since the last inspection, and have a job."""
    facts = Facts(100, 7.0, "active", False, last, 0, None, "")
    assert supervision.may_answer(seen(facts=facts), WatchState(Memory(startd=before))) is asked


def test_a_container_that_is_stopped_before_its_first_inspection_asks_nobody() -> None:
    assert not supervision.may_answer(None, WatchState(Memory()))


@pytest.mark.parametrize(("slots", "expected"), [(BUSY, [0, "stop"]), (IDLE, ["stop"])])
def test_a_worker_at_the_end_of_its_lifetime_does_so(
    slots: Slots, expected: list[object], done: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Server:
        has_requests = False

        def answer(self, text: bytes) -> None:
            pass

    answer(monkeypatch, slots)
    facts = Facts(100, 7.0, "active", False, "startd_1", slots.claimed, True, "")
    plain = seen(facts=facts)
    over = plain._replace(limits=plain.limits._replace(lifetime=100.0))
    monkeypatch.setattr(watch, "inspect", lambda *_: over)
    monkeypatch.setattr(watch, "save_memory", lambda _: None)
    monkeypatch.setattr(report, "publish", lambda *_: b"")
    monkeypatch.setattr(observe, "logins", tuple)
    state = WatchState(Memory(7.0, "startd_1", 99.0, 1.0, 2.0))
    monkeypatch.setattr(advertisement, "send", lambda progress, *_: progress)
    ordering = service()._replace(order=done.append)
    after, _ = watch.step(state, ordering, Server())  # type: ignore[arg-type]  # stand-ins
    assert done == expected
    watch.step(after, ordering, Server())  # type: ignore[arg-type]  # stand-ins
    assert done == expected, "once"


@pytest.mark.parametrize(("slots", "expected"), [(BUSY, [0]), (IDLE, []), (None, [])])
def test_systemctl_stop_does_so(
    slots: Slots | None,
    expected: list[object],
    done: list[object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(systemd, "RUNNING", str(tmp_path))
    monkeypatch.setenv("MAINPID", "4711")
    monkeypatch.setattr(settings, "current", lambda: {"DrainTimeout": "0"})
    answer(monkeypatch, slots)
    assert drain.main() == 0
    assert done == expected
