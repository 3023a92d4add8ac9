"""The states of the lifecycle, evaluated for inspections second by second."""

from __future__ import annotations

from typing import Any

import pytest
from worker_runtime.lifecycle import drain
from worker_runtime.lifecycle.states import (
    IDLE_MARGIN,
    Departure,
    Facts,
    Limits,
    Memory,
    Status,
    evaluate,
    limits,
    next_action,
)

from bakery.runtime import data

LIMITS = Limits(
    configuration=3600, join=900, idle=1500, lifetime=float("inf"), retirement=0, watchdog=600, login=300
)
VALUES = {
    "ConfigurationTimeout": "3600", "JoinTimeout": "900", "IdleTimeout": "1500", "MaxLifetime": "0",
    "WatchdogTimeout": "600", "LoginGrace": "300", "DrainTimeout": "90", "OnIdle": "poweroff",
}  # fmt: skip


class Worker:
    """A worker that is looked at at the times that a test says."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.memory, self.limits = Memory(), limits
        self.facts = Facts(0, 0, "inactive", False, "", 0, None, "")

    def at(self, now: float, **changes: Any) -> Status:
        self.facts = self.facts._replace(now=now, **changes)
        life, self.memory = evaluate(self.memory, self.facts, self.limits)
        return life

    def joined(self) -> Worker:
        self.at(100, configured=1.0, unit="active")
        self.at(110, startd="a", in_pool=True)
        self.facts = self.facts._replace(in_pool=None)
        return self


def test_without_a_configuration_it_waits_and_goes() -> None:
    worker = Worker()
    assert worker.at(10) == Status("waiting", "there is no valid configuration yet", 3600)
    assert worker.at(3599).state == "waiting"
    assert worker.at(3600).why == "ConfigurationTimeout expired: there is no valid configuration yet"
    # One that comes after all, while somebody who is logged in holds the end up, is welcome.
    assert worker.at(3650, configured=1.0, unit="active", startd="a").state == "joining"


def test_it_joins_works_idles_and_goes_when_htcondor_does() -> None:
    worker = Worker().joined()
    assert worker.at(120) == Status("idle", "no slot is claimed", 110 + 1500)
    assert worker.at(200, claimed=2) == Status("running", "2 claimed", None)
    assert worker.at(5000).state == "running"
    assert worker.at(5010, claimed=0).deadline == 5000 + 1500
    life = worker.at(6600, exited=True, startd="", unit="inactive")
    assert life == Status("stopping", "HTCondor exited after IdleTimeout")


EXPIRED = "the token expired on 2026-11-28 12:00 UTC"


def test_a_worker_whose_token_has_expired_finishes_its_jobs_and_goes_by_its_join_timeout() -> None:
    worker = Worker().joined()
    assert worker.at(200, claimed=1, expired=EXPIRED, in_pool=True).why == f"1 claimed; {EXPIRED}"
    assert worker.at(400, in_pool=False) == Status("running", f"1 claimed; {EXPIRED}", None)
    assert worker.at(5000).state == "running"
    assert worker.at(5010, claimed=0) == Status("joining", EXPIRED, 5000 + 900)
    why = f"JoinTimeout expired, not in the pool: {EXPIRED}"
    assert worker.at(5900) == Status("stopping", why)


def test_a_worker_whose_token_has_expired_is_in_the_pool_as_long_as_the_pool_shows_it() -> None:
    worker = Worker().joined()
    shown = worker.at(200, expired=EXPIRED, in_pool=True)
    assert shown == Status("idle", f"no slot is claimed; {EXPIRED}", 110 + 1500)
    assert worker.at(300, in_pool=False) == Status("joining", EXPIRED, 300 + 900)
    renewed = worker.at(400, expired="", in_pool=None)
    assert renewed == Status("idle", "no slot is claimed", 110 + 1500)
    assert worker.at(500, expired=EXPIRED, in_pool=False).deadline == 500 + 900


def test_a_job_longer_than_idle_timeout_is_no_idleness() -> None:
    worker = Worker().joined()
    assert {worker.at(now, claimed=1).state for now in range(200, 100_000, 60)} == {"running"}


def test_an_idle_htcondor_that_does_not_end_by_itself_is_ended() -> None:
    worker = Worker().joined()
    assert worker.at(1610 + IDLE_MARGIN - 1).state == "idle"
    life = worker.at(1610 + IDLE_MARGIN)
    assert life.state == "stopping" and "HTCondor did not exit" in life.why


def test_not_in_the_pool_for_a_reason() -> None:
    worker = Worker()
    worker.at(
        50, configured=1.0, unit="active", startd="a", in_pool=False, obstacle="cm rejected the token"
    )
    assert worker.at(60) == Status("joining", "cm rejected the token", 50 + 900)
    life = worker.at(950)
    assert life == Status("stopping", "JoinTimeout expired, not in the pool: cm rejected the token")


def test_idle_exit_before_join_timeout_says_what_was_wrong() -> None:
    worker = Worker()
    worker.at(50, configured=1.0, unit="active", startd="a", in_pool=False, obstacle="port 9618 refused")
    assert "never showed the worker: port 9618 refused" in worker.at(60, exited=True, startd="").why


def test_a_silent_htcondor_is_given_time_and_then_up() -> None:
    worker = Worker().joined()
    worker.at(200, claimed=1)
    assert worker.at(210, startd="", claimed=0) == Status("silent", "HTCondor does not answer", 200 + 600)
    # A reload that does not end, as HTCondor does not answer.
    assert worker.at(211, unit="reloading").why == "HTCondor does not answer"
    worker.at(212, unit="active")
    assert worker.at(400, startd="a", claimed=1).state == "running"
    worker.at(410, startd="", claimed=0)
    life = worker.at(1000)
    assert life == Status("stopping", "WatchdogTimeout expired: HTCondor does not answer")


def test_one_that_never_starts_is_given_up_too() -> None:
    worker = Worker()
    assert worker.at(100, configured=1.0).state == "starting"
    assert worker.at(700, unit="inactive").why == "WatchdogTimeout expired: HTCondor does not run"


def test_a_restarted_htcondor_joins_again() -> None:
    worker = Worker().joined()
    worker.at(200, startd="", unit="activating")
    assert worker.at(205, startd="b", in_pool=False) == Status(
        "joining", "the pool does not show the worker yet", 1105
    )


def test_at_the_end_of_its_lifetime_it_retires_and_goes() -> None:
    worker = Worker(LIMITS._replace(lifetime=40_000, retirement=10_000)).joined()
    assert worker.at(200, claimed=1).deadline == 40_000
    assert worker.at(29_999).state == "running"
    assert worker.at(30_000) == Status("retiring", "1 claimed; MaxLifetime is near", 40_000)
    assert worker.at(30_100, claimed=0) == Status("stopping", "MaxLifetime is near and no job runs")
    worker = Worker(LIMITS._replace(lifetime=40_000, retirement=10_000)).joined()
    worker.at(39_999, claimed=1)
    assert worker.at(40_000) == Status("stopping", "MaxLifetime expired")


def test_a_new_configuration_is_a_new_beginning() -> None:
    worker = Worker()
    worker.at(
        50, configured=1.0, unit="active", startd="a", in_pool=False, obstacle="cm rejected the token"
    )
    assert worker.at(960).state == "stopping"
    assert worker.at(970, configured=2.0, obstacle="").deadline == 970 + 900


@pytest.mark.parametrize("key", ["ConfigurationTimeout", "JoinTimeout", "IdleTimeout", "WatchdogTimeout"])
def test_zero_is_never(key: str) -> None:
    assert list(limits({**VALUES, key: "0"}, 0)).count(float("inf")) == 2


def test_one_who_stays_has_no_deadline() -> None:
    assert list(limits({**VALUES, "OnIdle": "none", "MaxLifetime": "5"}, 0)) == [
        *[float("inf")] * 4, 0, float("inf"), 300, 90
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "elapsed", "logins", "on_idle", "what"),
    [
        ("active", 0, 0, "poweroff", "stop"),
        ("active", 61, 0, "poweroff", "kill"),
        ("active", 121, 0, "poweroff", "off"),
        ("inactive", 0, 0, "poweroff", "off"),
        ("inactive", 0, 1, "poweroff", "wait"),
        ("inactive", 299, 1, "poweroff", "wait"),
        ("inactive", 300, 1, "poweroff", "off"),
        ("inactive", 720, 0, "poweroff", "force"),
        ("inactive", 720, 1, "poweroff", "off"),
        ("inactive", 1020, 1, "poweroff", "force"),
        ("", 0, 0, "poweroff", "off"),
        ("inactive", 9999, 0, "stop", "rest"),
        ("active", 0, 0, "stop", "stop"),
        ("active", 61, 0, "stop", "kill"),
    ],
)
def test_way_out(unit: str, elapsed: float, logins: int, on_idle: str, what: str) -> None:
    memory = Memory(ending=1000, drained=1000, reason="x")
    facts = Facts(1000 + elapsed, 1, unit, False, "a", 0, None, "")
    assert next_action(memory, facts, LIMITS, logins, on_idle) == what


def test_one_that_does_not_answer_is_not_asked() -> None:
    facts = Facts(1000, 1, "active", False, "", 0, None, "")
    assert next_action(Memory(ending=1000, drained=1000, reason="x"), facts, LIMITS, 0, "poweroff") == "kill"


SPOT = Departure("spot instance: Amazon announced terminate", known=1000, ends=1120)


@pytest.mark.parametrize(
    ("drain", "departure", "claimed", "now", "state", "action"),
    [
        # Today's behaviour: jobs are asked to end at once.
        (0, SPOT, 1, 1000, "stopping", "stop"),
        (60, SPOT, 1, 1001, "retiring", "drain"),
        (60, SPOT, 1, 1059, "retiring", "drain"),
        (60, SPOT, 1, 1060, "stopping", "stop"),
        (60, SPOT, 0, 1001, "stopping", "stop"),
        # The cloud does not wait.
        (600, SPOT, 1, 1099, "retiring", "drain"),
        (600, SPOT, 1, 1100, "stopping", "stop"),
        # What may not come to pass costs no job.
        (0, SPOT._replace(is_certain=False, ends=float("inf")), 1, 9999, "retiring", "drain"),
        (0, SPOT._replace(is_certain=False, ends=float("inf")), 0, 1001, "stopping", "stop"),
    ],
)
def test_a_machine_that_the_cloud_takes(
    drain: float, departure: Departure, claimed: int, now: float, state: str, action: str
) -> None:
    """The notice is seen at 1000, in a worker that has joined."""
    memory = Memory(configured=1, startd="a", answered=999, began=10, joined=20, claimed=900)
    facts = Facts(now, 1, "active", False, "a", claimed, None, "", departure=departure)
    status, after = evaluate(memory, facts, LIMITS._replace(drain=drain))
    assert status.state == state
    assert departure.why in status.why
    assert next_action(after, facts, LIMITS, 0, "poweroff") == action


def test_jobs_that_the_cloud_ended_stay_ended() -> None:
    """The first certain notice counts from when it was seen, whatever was recommended before."""
    perhaps = SPOT._replace(is_certain=False, ends=float("inf"))
    facts = Facts(1001, 1, "active", False, "a", 1, None, "", departure=perhaps)
    _, memory = evaluate(Memory(configured=1, startd="a", joined=20), facts, LIMITS._replace(drain=60))
    later = facts._replace(now=5000, departure=SPOT._replace(known=5000, ends=5120))
    status, memory = evaluate(memory, later, LIMITS._replace(drain=60))
    assert (status.state, status.deadline) == ("retiring", 5060)
    status, memory = evaluate(memory, later._replace(now=5060), LIMITS._replace(drain=60))
    assert (status.state, memory.drained) == ("stopping", 5060)
    status, _ = evaluate(memory, later._replace(now=5061), LIMITS._replace(drain=600))
    assert status.state == "stopping"


@pytest.mark.parametrize("on_idle", ["stop", "none"])
def test_a_machine_that_is_kept_is_left_to_the_cloud(on_idle: str) -> None:
    facts = Facts(1010, 1, "inactive", False, "", 0, None, "", departure=SPOT)
    memory = Memory(ending=1000, drained=1000, reason="x")
    assert next_action(memory, facts, LIMITS, 0, on_idle) == "rest"


def test_jobs_are_asked_to_end_when_the_drain_is_over() -> None:
    """HTCondor begins their eviction MachineMaxVacateTime before the end of their retirement."""
    text = drain.config(1000.0)
    assert "START = False\n" in text
    assert " 1600 - (MY.JobStart ?: time()))" in text
    jobs = (data.WORKER / "common/etc/condor/config.d/30-worker-jobs.config").read_text()
    assert f"\nMachineMaxVacateTime = {drain.VACATE_SECONDS}\n" in jobs
