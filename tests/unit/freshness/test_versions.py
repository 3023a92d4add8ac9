"""The order of versions; test_order_of_programs.py compares it with that of dpkg and rpm."""

from __future__ import annotations

import pytest

from bakery.freshness.versions import deb, highest, rpm

# Lower, higher.
DEB = [
    ("1.0", "1.0-1"),
    ("1.0~rc1", "1.0"),
    ("1.0~~", "1.0~"),
    ("1.9", "1.10"),
    ("1.0-9", "1:0.1-1"),
    ("1.0a", "1.0+"),
    ("1.0", "1.0a"),
    ("2.7.3-1", "2.7.3-1+deb13u1"),
    ("3.5.1-1", "3.5.1-1+b1"),
]
RPM = [
    ("1.0-1", "1.0-2"),
    ("1.9-1", "1.10-1"),
    ("1.0~rc1-1", "1.0-1"),
    ("1.0-1", "1.0^git1-1"),
    ("1.0^git1-1", "1.0.1-1"),
    ("9.9-1", "1:0.1-1"),
    ("1.0a-1", "1.0.1-1"),
    ("1.0-1.el9", "1.0-1.el9_4.1"),
]
EQUAL = [("1.0", "1.00"), ("1.0-1", "0:1.0-1")]


@pytest.mark.parametrize(("low", "high"), DEB)
def test_the_order_of_dpkg(low: str, high: str) -> None:
    assert (deb(low, high), deb(high, low), deb(low, low)) == (-1, 1, 0)


@pytest.mark.parametrize(("low", "high"), RPM)
def test_the_order_of_rpm(low: str, high: str) -> None:
    assert (rpm(low, high), rpm(high, low), rpm(low, low)) == (-1, 1, 0)


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_texts_that_differ_may_be_one_version(one: str, other: str) -> None:
    assert (deb(one, other), rpm(one, other)) == (0, 0)


def test_the_highest_of_several() -> None:
    assert highest(["1.9-1", "1.10-1", "1.2-1"], deb) == "1.10-1"
