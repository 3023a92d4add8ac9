"""The clock and the version of a collector."""

from __future__ import annotations

import pytest

from bakery.tokens import client_library, collectors

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("there", "before", "after", "ahead"),
    [
        (NOW, NOW, NOW, 0),
        (NOW, NOW + 0.7, NOW + 0.8, 0),  # its clock shows whole seconds
        (NOW, NOW - 50, NOW + 50, 0),  # a slow machine: the time of the reply is unknown
        (NOW + 7200, NOW, NOW + 10, 7190),
        (NOW - 7200, NOW, NOW + 10, -7199),
    ],
)
def test_the_clock_by_the_session(there: int, before: float, after: float, ahead: float) -> None:
    assert client_library.ahead(f"cm.example:27:{there}:21", before, after) == ahead


@pytest.mark.parametrize("session", ["", "pool:27", "pool:27:x:1", "family:abc"])
def test_a_session_without_a_time(session: str) -> None:
    assert client_library.ahead(session, NOW, NOW) is None


@pytest.mark.parametrize(
    ("ahead", "seconds", "words"),
    [
        (None, 0, ""),
        (60, 0, ""),
        (-60, 0, ""),
        (7190.5, 7190, "is at least 119 minutes ahead of the clock here"),
        (-7300.0, -7300, "is at least 2 hours behind the clock here"),
    ],
)
def test_a_clock_that_differs(ahead: float | None, seconds: int, words: str) -> None:
    assert collectors.clock_differs(ahead) == seconds
    text = collectors.clock_text(seconds)
    assert words in text
    assert bool(text) is bool(words)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("$CondorVersion: 25.14.1 2026-08-21 $", ""),
        ("$CondorVersion: 23.9.6 2026-07-12 PackageID: 23.9.6+dfsg $", ""),
        ("$CondorVersion: 10.0.9 2023-09-28 $", "HTCondor 10.0.9. Workers and this command"),
        ("$CondorVersion: 8.9.1 Apr 17 2019 $", "HTCondor 8.9.1, which does not know tokens (IDTOKENS)"),
        ("$CondorVersion: 8.6.13 Oct 30 2018 $", "does not know tokens"),
        ("", ""),
        ("odd", ""),
    ],
)  # fmt: skip
def test_an_old_collector(version: str, words: str) -> None:
    text = collectors.old_text(version)
    assert words in text
    assert bool(text) is bool(words)
