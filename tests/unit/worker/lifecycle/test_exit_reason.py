"""Which exits of HTCondor are idle exits."""

from __future__ import annotations

import pytest
from worker_runtime.lifecycle import observe
from worker_runtime.lifecycle.exit_reason import is_idle_exit
from worker_runtime.system.systemd import parse_properties


@pytest.mark.parametrize(
    ("shown", "off"),
    [
        ("ExecMainCode=1\nExecMainStatus=0\nJob=\n", True),
        ("ExecMainCode=1\nExecMainStatus=99\nJob=0\n", True),
        ("ExecMainCode=1\nExecMainStatus=0\n", True),  # systemd 219 leaves an empty property out
        ("ExecMainCode=1\nExecMainStatus=0\nJob=1234\n", False),
        ("ExecMainCode=2\nExecMainStatus=9\nJob=\n", False),
        ("ExecMainCode=1\nExecMainStatus=44\n", False),
        ("ExecMainCode=0\nExecMainStatus=0\n", False),  # it has not ended yet
        ("", False),
    ],
)
def test_only_an_end_that_nobody_asked_for_and_that_is_no_crash(shown: str, off: bool) -> None:
    assert is_idle_exit(parse_properties(shown)) is off


@pytest.mark.parametrize(
    ("state", "leaves"),
    [("deactivating", True), ("active", False), ("activating", False), ("failed", False)],
)
def test_who_cannot_end_is_leaving_all_the_same(state: str, leaves: bool) -> None:
    """A job's process that hangs keeps the unit from ending; systemd would start it again then."""
    unit = {"ActiveState": state, "ExecMainCode": "1", "ExecMainStatus": "0", "Job": ""}
    assert observe.is_exiting(unit) is leaves
    assert not observe.is_exiting({**unit, "Job": "7"})
