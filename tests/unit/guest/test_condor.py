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
        'WorkerGroupName = "My \\"Test\\" \\\\ \\044(SECRET) \\044ENV(PATH)"',
        "STARTD_NOCLAIM_SHUTDOWN = 1500",
        "UPDATE_INTERVAL = 60",
        'START = ( $(WORKER_GUARDS) ) && ( Owner == "\\044(SECRET)" )',
        "STARTD_ATTRS = $(STARTD_ATTRS) WorkerGroupName",
        "MASTER_ATTRS = $(MASTER_ATTRS) WorkerGroupName",
    ]


def test_the_token_is_not_in_it() -> None:
    assert "CANARY" not in render(VALUES)


def test_no_name_no_attribute() -> None:
    assert "WorkerGroupName" not in render({**VALUES, "WorkerGroupName": ""})


def test_start_is_never_empty_and_never_without_the_guards() -> None:
    assert meant(VALUES, "True")["START"] == '( True ) && ( Owner == "\\044(SECRET)" )'


@pytest.mark.parametrize(("text", "string"), [("", '""'), ("a\\", '"a\\\\"'), ('"', '"\\""'), ("é", '"é"')])
def test_quoted(text: str, string: str) -> None:
    assert quoted(text) == string


@pytest.mark.parametrize(
    ("text", "without"),
    [
        (r'"$$(A) $5 $"', r'"\044\044(A) \0445 \044"'),
        (r'"a\$b"', r'"a\044b"'),
        (r'"a\\$b"', r'"a\\\044b"'),
        (r'"a\"$"', r'"a\"\044"'),
        ("A == 1", "A == 1"),
    ],
)
def test_no_dollar_is_left_to_open_a_macro(text: str, without: str) -> None:
    assert escaped(text) == without


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
