"""When HTCondor has ended: power off, or not."""

from __future__ import annotations

import pytest
from worker_runtime.stopped import properties_in, went_by_itself


@pytest.mark.parametrize(
    ("shown", "off"),
    [
        ("Result=success\nJob=\n", True),
        ("Result=success\nJob=0\n", True),
        ("Result=success\n", True),  # systemd 219 leaves an empty property out
        ("Result=success\nJob=1234\n", False),
        ("Result=signal\nJob=\n", False),
        ("Result=exit-code\n", False),
        ("Result=watchdog\nJob=0\n", False),
        ("", False),
    ],
)
def test_only_an_end_that_nobody_asked_for_and_that_is_no_crash(shown: str, off: bool) -> None:
    assert went_by_itself(properties_in(shown)) is off
