"""When a token is renewed, how often that is tried, and when the worker warns of the end of its token."""

from __future__ import annotations

from typing import Any

import pytest
from worker_runtime.configuration.applied import FileStatus, Fingerprint
from worker_runtime.lifecycle import renewal, watch
from worker_runtime.lifecycle.renewal import Renewal, TokenTimes

from tests.unit.worker.lifecycle.test_status import seen, service

DAY = 86400.0
FOREVER = float("inf")


@pytest.mark.parametrize(
    ("claims", "times"),
    [
        ({}, TokenTimes()),
        ({"iat": 100}, TokenTimes()),
        ({"exp": True}, TokenTimes()),
        ({"exp": "soon"}, TokenTimes()),
        ({"iat": 100, "exp": 400}, TokenTimes(100, 400)),
        ({"exp": 400}, TokenTimes(300, 400)),  # as from when it was obtained
        ({"iat": 500, "exp": 400}, TokenTimes(400, 400)),
    ],
)
def test_the_times_of_a_token(claims: dict[str, Any], times: TokenTimes) -> None:
    assert renewal.token_times(claims, obtained=300) == times


def test_a_token_is_renewed_after_two_thirds_of_its_life() -> None:
    times = TokenTimes(1000, 1180)
    assert [renewal.is_due(times, epoch) for epoch in (1000, 1119, 1120, 1500)] == [
        False, False, True, True,
    ]  # fmt: skip
    assert not renewal.is_due(TokenTimes(), 5000)


def test_a_renewal_is_repeated_at_growing_intervals() -> None:
    short, long = TokenTimes(0, 180), TokenTimes(0, 7 * DAY)
    assert [renewal.pause(short, tries) for tries in (1, 2, 3, 4)] == [10, 20, 40, 80]
    assert renewal.pause(short, 1000) == renewal.MAX_PAUSE == renewal.pause(long, 1)
    assert renewal.is_next_try(Renewal(), short, 0)
    assert not renewal.is_next_try(Renewal(2, 100), short, 119)
    assert renewal.is_next_try(Renewal(2, 100), short, 120)


def test_the_watch_has_the_file_read_again_when_a_renewal_is_due() -> None:
    orders: list[str] = []
    counting = service()._replace(reread=lambda: orders.append("read"))
    reading = FileStatus(Fingerprint("digest"), None, renewable=True)
    fresh = seen(reading=reading, token=TokenTimes(1_000_000, 1_000_180))
    assert watch.renew_token(Renewal(3, 5), fresh, counting) == Renewal() and not orders
    due = fresh._replace(epoch=1_000_120.0)
    tried = watch.renew_token(Renewal(), due, counting)
    assert (tried, orders) == (Renewal(1, due.facts.now), ["read"])
    assert watch.renew_token(tried, due, counting) == tried and orders == ["read"]
    # A TokenCommand that prints an old token again must not be run at each inspection.
    other = due._replace(token=TokenTimes(1_000_001, 1_000_181), epoch=1_000_125.0)
    assert watch.renew_token(tried, other, counting) == tried and orders == ["read"]
    not_renewable = due._replace(reading=reading._replace(renewable=False))
    assert watch.renew_token(Renewal(), not_renewable, counting) == Renewal() and orders == ["read"]


@pytest.mark.parametrize(
    ("times", "epoch", "ends", "renewed", "warned"),
    [
        (TokenTimes(), 9 * DAY, FOREVER, False, False),
        (TokenTimes(0, 7 * DAY), 5.9 * DAY, FOREVER, False, False),
        (TokenTimes(0, 7 * DAY), 6 * DAY, FOREVER, False, True),
        (TokenTimes(0, 7 * DAY), 6.5 * DAY, 6.9 * DAY, False, False),  # the worker ends before
        (TokenTimes(0, 7 * DAY), 5.9 * DAY, FOREVER, True, False),
        (TokenTimes(0, 7 * DAY), 6.1 * DAY, FOREVER, True, True),  # it should have been renewed
        (TokenTimes(0, 3600), 2700, FOREVER, True, False),
        (TokenTimes(0, 3600), 3000, FOREVER, True, True),
        (TokenTimes(0, 3600), 10, FOREVER, False, True),
    ],
)
def test_the_end_of_a_token_is_warned_of(
    times: TokenTimes, epoch: float, ends: float, renewed: bool, warned: bool
) -> None:
    assert renewal.is_ending(times, epoch, ends, renewed) == warned


def test_each_token_is_warned_of_once(capfd: pytest.CaptureFixture[str]) -> None:
    ending = seen(token=TokenTimes(999_000, 1_000_600))
    warned = watch.warn_of_end(0.0, ending)
    assert warned == 1_000_600
    assert watch.warn_of_end(warned, ending) == warned
    said = "".join(capfd.readouterr())
    assert said.count("warning: the token is valid until 1970-01-12 13:56 UTC") == 1
    assert watch.warn_of_end(warned, ending._replace(token=TokenTimes(999_000, 1_000_700))) == 1_000_700
