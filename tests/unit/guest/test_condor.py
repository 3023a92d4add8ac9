"""The values as HTCondor's configuration: two layers of quoting, and guards that stay."""

from __future__ import annotations

import pytest
from worker_runtime.condor import escaped, meant, quoted, render, update_interval, without_port

VALUES = {
    "WorkerGroupName": 'My "Test" \\ $(SECRET) $ENV(PATH)',
    "Token": "CANARY",
    "Start": 'Owner == "$(SECRET)"',
    "CentralManager": "cm.example.org:9619",
    "IdleTimeout": "1500",
}


def test_the_whole_file() -> None:
    assert render(VALUES).splitlines()[1:] == [
        "CONDOR_HOST = cm.example.org",
        "COLLECTOR_HOST = cm.example.org:9619",
        'WorkerGroupName = "My \\"Test\\" \\ $(DOLLAR)(SECRET) $(DOLLAR)ENV(PATH)"',
        "STARTD_NOCLAIM_SHUTDOWN = 1500",
        "UPDATE_INTERVAL = 60",
        "STARTD_ATTRS = $(STARTD_ATTRS) WorkerGroupName",
        "MASTER_ATTRS = $(MASTER_ATTRS) WorkerGroupName",
        'START = ( $(WORKER_GUARDS) ) && ( Owner == "$(DOLLAR)(SECRET)" )',
    ]


def test_the_token_is_not_in_it() -> None:
    assert "CANARY" not in render(VALUES)


def test_no_name_no_attribute() -> None:
    assert "WorkerGroupName" not in render({**VALUES, "WorkerGroupName": ""})


def test_start_is_never_empty_and_never_without_the_guards() -> None:
    assert meant(VALUES, "True")["START"] == '( True ) && ( Owner == "$(SECRET)" )'


@pytest.mark.parametrize(
    ("text", "string"), [("", '""'), ("a\\", '"a\\"'), ("\\\\", '"\\\\"'), ('"', '"\\""'), ("é", '"é"')]
)
def test_quoted(text: str, string: str) -> None:
    assert quoted(text) == string


def test_no_dollar_of_the_users_opens_a_macro() -> None:
    assert escaped("$(A) $5 $") == "$(DOLLAR)(A) $(DOLLAR)5 $(DOLLAR)"
    text = render({**VALUES, "WorkerGroupName": "$(WORKER_GUARDS)", "Start": '"$(WORKER_GUARDS)"'})
    assert text.count("$(WORKER_GUARDS)") == 1


@pytest.mark.parametrize(
    ("idle", "interval"), [(0, 60), (1, 10), (15, 10), (100, 25), (1500, 60), (86400, 60)]
)
def test_idleness_is_looked_at_often_enough(idle: int, interval: int) -> None:
    assert update_interval(idle) == interval


@pytest.mark.parametrize(
    ("manager", "host"), [("cm", "cm"), ("cm:1", "cm"), ("[::1]:1", "[::1]"), ("[::1]", "[::1]")]
)
def test_without_port(manager: str, host: str) -> None:
    assert without_port(manager) == host
