"""Does the pool show the worker as it is now?"""

from __future__ import annotations

from typing import Any

import pytest
from worker_runtime import advertised, conf
from worker_runtime.advertised import TRIES, Told, Wanted
from worker_runtime.observe import Shown, Slots
from worker_runtime.program import Ended

from tests.unit.guest.conftest import OSG

NAME = 'My "workers"'
WANTED = Wanted("startd_1", 5.0, True, (("WorkerGroupName", NAME),))


def ads(*healthy: bool | None, name: str = NAME) -> Shown:
    rows: list[dict[str, Any]] = [{"Name": "slot1@w", "WorkerGroupName": name} for _ in healthy]
    for row, value in zip(rows, healthy, strict=True):
        if value is not None:
            row["NODE_IS_HEALTHY"] = value
    return Shown(bool(rows), tuple(rows))


def test_what_the_pool_is_to_show() -> None:
    values = conf.values_of({"WorkerGroupName": NAME}, OSG.keys)
    assert advertised.wanted(OSG, values, 5.0, Slots(0, "startd_1", True)) == WANTED
    assert WANTED.attributes() == ("NODE_IS_HEALTHY", "WorkerGroupName")
    assert advertised.wanted(OSG, values, 5.0, None) == Wanted()
    assert advertised.wanted(OSG, values, 0, Slots(0, "startd_1", True)) == Wanted()


@pytest.mark.parametrize(
    ("shown", "shows"),
    [
        (ads(True), True),
        (ads(True, True), True),
        (ads(True, False), False),
        (ads(None), False),
        (ads(True, name="The name before"), False),
        (Shown(True, ()), False),  # there, but not to be read
        (ads(), False),
        (None, False),
    ],
)
def test_what_it_shows(shown: Shown | None, shows: bool) -> None:
    assert advertised.compared(Told(), WANTED, shown) == Told(WANTED, 0, shows)


def test_news_begin_anew_and_what_was_shown_once_is_not_asked_again() -> None:
    shows = Told(WANTED, 3, True)
    assert advertised.compared(shows, WANTED, None) == shows
    assert advertised.done(shows, WANTED)
    ill = WANTED._replace(healthy=False)
    assert not advertised.done(shows, ill)
    assert advertised.compared(shows, ill, ads(True)) == Told(ill, 0, False)
    # Before its first look, a startd's ads say nothing of health.
    assert advertised.compared(shows, WANTED._replace(healthy=None), ads(None)).shows


def test_it_is_tried_until_the_pool_shows_it_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(advertised, "say", said.append)
    monkeypatch.setattr(advertised, "ended", lambda *_: Ended(1, "", "not allowed"))
    told = Told(WANTED)
    for _ in range(TRIES):
        assert not advertised.done(told, WANTED)
        told = advertised.sent(told, None)
    assert advertised.done(told, WANTED) and not told.shows
    assert said == ["the pool hears of the change with HTCondor's next update: not allowed"]


def test_a_pool_that_shows_nobody_its_workers_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advertised, "ended", lambda *_: Ended(0, "", ""))
    assert advertised.sent(Told(WANTED), None) == Told(WANTED, 1, True)
    assert advertised.sent(Told(WANTED), ads(None)) == Told(WANTED, 1, False)
