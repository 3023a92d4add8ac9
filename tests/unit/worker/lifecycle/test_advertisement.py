"""Whether the pool shows the worker as it is now."""

from __future__ import annotations

import json
from typing import Any

import pytest
from worker_runtime.configuration import worker_file
from worker_runtime.lifecycle import advertisement, observe
from worker_runtime.lifecycle.advertisement import INTERVAL, MAX_TRIES, Expected, Progress
from worker_runtime.lifecycle.observe import PoolAds, Slots
from worker_runtime.system.command import Completed

from tests.unit.worker.conftest import OSG

NAME = 'My "workers"'
WANTED = Expected("startd_1", 5.0, True, (("WorkerGroupName", NAME),))


def ads(*healthy: bool | None, name: str = NAME) -> PoolAds:
    rows: list[dict[str, Any]] = [{"Name": "slot1@w", "WorkerGroupName": name} for _ in healthy]
    for row, value in zip(rows, healthy, strict=True):
        if value is not None:
            row["NODE_IS_HEALTHY"] = value
    return PoolAds(bool(rows), tuple(rows))


def test_what_the_pool_is_to_show() -> None:
    values = worker_file.values_by_setting({"WorkerGroupName": NAME}, OSG.keys)
    assert advertisement.expected(OSG, values, 5.0, Slots(0, "startd_1", True)) == WANTED
    assert WANTED.attributes() == ("NODE_IS_HEALTHY", "WorkerGroupName")
    assert advertisement.expected(OSG, values, 5.0, None) == Expected()
    assert advertisement.expected(OSG, values, 0, Slots(0, "startd_1", True)) == Expected()


@pytest.mark.parametrize(
    ("shown", "shows"),
    [
        (ads(True), True),
        (ads(True, True), True),
        (ads(True, False), False),
        (ads(None), False),
        (ads(True, name="The name before"), False),
        (PoolAds(True, ()), False),  # there, but not to be read
        (ads(), False),
        (None, False),
    ],
)
def test_what_it_shows(shown: PoolAds | None, shows: bool) -> None:
    assert advertisement.compare(Progress(), WANTED, shown) == Progress(WANTED, 0, shows)


def test_a_slot_that_has_ended_and_that_the_pool_still_shows_does_not_count() -> None:
    """Its ad says what it said at its end, here that the worker was unhealthy."""
    now = {"Name": "slot1@w", "WorkerGroupName": NAME, "NODE_IS_HEALTHY": True}
    ended = {**now, "Name": "slot1_1@w", "NODE_IS_HEALTHY": False}
    shown = json.dumps([now, ended])

    def shows(*slots: str) -> bool:
        mine = Slots(0, "startd_1", True, slots)
        return advertisement.compare(Progress(), WANTED, observe.parse_pool_ads(shown, mine)).shows

    assert shows("slot1@w")
    assert not shows("slot1@w", "slot1_1@w")
    # If that is all that the pool shows, it does not show the worker as it is, but it knows it.
    assert not shows("slot2@w")
    assert observe.parse_pool_ads(shown, Slots(0, "startd_1", True, ("slot2@w",))) == PoolAds(True, ())


def test_news_begin_anew_and_what_was_shown_once_is_not_asked_again() -> None:
    shows = Progress(WANTED, 3, True)
    assert advertisement.compare(shows, WANTED, None) == shows
    assert advertisement.is_done(shows, WANTED)
    ill = WANTED._replace(healthy=False)
    assert not advertisement.is_done(shows, ill)
    assert advertisement.compare(shows, ill, ads(True)) == Progress(ill, 0, False)
    # Before its first look, a startd's ads say nothing of health.
    assert advertisement.compare(shows, WANTED._replace(healthy=None), ads(None)).shows


def test_it_is_tried_until_the_pool_shows_it_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(advertisement, "log", said.append)
    monkeypatch.setattr(advertisement, "run", lambda *_: Completed(1, "", "ERROR\nnot allowed"))
    told = Progress(WANTED)
    for number in range(MAX_TRIES):
        assert not advertisement.is_done(told, WANTED)
        told = advertisement.send(told, None, float(number))
    assert advertisement.is_done(told, WANTED) and not told.shows
    assert said == ["the pool will show the change after HTCondor's next update: not allowed"]


def test_a_failure_that_passes_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A startd that starts or is busy may refuse, and answers the next time."""
    said: list[str] = []
    monkeypatch.setattr(advertisement, "log", said.append)
    told = Progress(WANTED)
    for number, status in enumerate([1, 1, 0, 1, 1, 0]):
        monkeypatch.setattr(advertisement, "run", lambda *_, status=status: Completed(status, "", "busy"))
        told = advertisement.send(told, ads(None), float(number))
    assert (said, told.failures, told.tries) == ([], 0, 6)


def test_inspections_that_clients_trigger_do_not_use_up_the_tries() -> None:
    told = Progress(WANTED, 1, False, 0, 100.0)
    assert not advertisement.is_due(told, 100.0 + INTERVAL - 0.1)
    assert advertisement.is_due(told, 100.0 + INTERVAL)
    assert advertisement.is_due(Progress(WANTED), 0.0)


def test_a_pool_that_shows_nobody_its_workers_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advertisement, "run", lambda *_: Completed(0, "", ""))
    assert advertisement.send(Progress(WANTED), None, 7.0) == Progress(WANTED, 1, True, 0, 7.0)
    assert advertisement.send(Progress(WANTED), ads(None), 7.0) == Progress(WANTED, 1, False, 0, 7.0)
