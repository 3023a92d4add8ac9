"""The values as HTCondor's configuration: two layers of quoting, and guards that stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from worker_runtime.configuration import instance
from worker_runtime.configuration.condor_config import (
    Machine,
    escape_macro,
    expected_values,
    needs_restart,
    render,
    update_interval,
)
from worker_runtime.configuration.worker_file import values_by_setting
from worker_runtime.system.classad import quote

from tests.unit.worker.conftest import KEYS, OSG, PROMINENCE

VALUES = {
    **{key.name: key.default for key in KEYS},
    "WorkerGroupName": 'My "Test" \\ $(SECRET) $ENV(PATH)',
    "Token": "CANARY",
    "Start": 'Owner == "$(SECRET)"',
    "CentralManager": "cm.example.org:9619",
}
PLACE = Machine(1_000_000, {"CloudRegion": "IU", "WorkerImage": "osg-x"})
BASE = "( MY.NODE_IS_HEALTHY =?= True )"
GPUS = "( MY.TotalGPUs =?= undefined || MY.TotalGPUs == 0 || TARGET.RequestGPUs > 0 )"


def test_the_whole_file() -> None:
    assert render(OSG, VALUES, PLACE).splitlines()[1:] == [
        "CONDOR_HOST = cm.example.org",
        "COLLECTOR_HOST = cm.example.org:9619",
        'CloudRegion = "IU"',
        'WorkerImage = "osg-x"',
        'WorkerGroupName = "My \\"Test\\" \\ $(DOLLAR)(SECRET) $(DOLLAR)ENV(PATH)"',
        "OSPool = False",
        "STARTD_NOCLAIM_SHUTDOWN = 1500",
        "UPDATE_INTERVAL = 60",
        "STARTD_ATTRS = $(STARTD_ATTRS) CloudRegion WorkerImage WorkerGroupName OSPool",
        "MASTER_ATTRS = $(MASTER_ATTRS) CloudRegion WorkerImage WorkerGroupName OSPool",
        f'START = {BASE} && {GPUS} && ( $(WORKER_GUARDS) ) && ( Owner == "$(DOLLAR)(SECRET)" )',
    ]


def test_the_date_of_the_image() -> None:
    text = render(OSG, VALUES, PLACE._replace(image_date=1_790_000_000))
    assert "\nWorkerImageDate = 1790000000\n" in text
    assert "STARTD_ATTRS = $(STARTD_ATTRS) CloudRegion WorkerImage WorkerImageDate WorkerGroupName" in text


def test_the_date_is_that_of_the_file_that_the_bake_writes_last(tmp_path: Path) -> None:
    path = tmp_path / "image.json"
    assert instance.image_date(str(path)) == 0
    path.touch()
    for seconds, expected in ((1_790_000_000, 1_790_000_000), (0, 0), (500_000_000, 0)):
        os.utime(path, (seconds, seconds))
        assert instance.image_date(str(path)) == expected


def test_the_token_is_not_in_it() -> None:
    assert "CANARY" not in render(OSG, VALUES, PLACE)


def test_no_name_no_attribute() -> None:
    assert "WorkerGroupName" not in render(OSG, {**VALUES, "WorkerGroupName": ""}, PLACE)


def test_who_takes_everybody_is_not_said_to_be_outside_of_the_pool() -> None:
    text = render(OSG, {**VALUES, "Start": "TRUE", "WorkerGroupName": ""}, Machine(0, {}))
    assert "OSPool" not in text and "STARTD_ATTRS" not in text


def test_start_is_never_empty_and_never_without_the_guards() -> None:
    start = expected_values(OSG, VALUES, PLACE, ["True || False"])["START"]
    assert start == f'{BASE} && {GPUS} && ( True || False ) && ( Owner == "$(SECRET)" )'


def test_gpus_for_everybody() -> None:
    assert "GPUs" not in render(OSG, {**VALUES, "GpuJobsOnly": "no"}, PLACE)


def test_a_lifetime_is_planned_from_boot_and_guarded() -> None:
    wanted = expected_values(OSG, {**VALUES, "MaxLifetime": "40000"}, PLACE, ["True"])
    assert (wanted["WorkerRetires"], wanted["WorkerEnds"]) == ("1030000", "1040000")
    assert "time() < MY.WorkerRetires" in wanted["START"]
    week = expected_values(OSG, {**VALUES, "MaxLifetime": "604800"}, PLACE, ["True"])
    assert int(week["WorkerEnds"]) - int(week["WorkerRetires"]) == 24 * 3600


def test_who_stays_has_no_idle_exit() -> None:
    assert (
        expected_values(OSG, {**VALUES, "OnIdle": "none"}, PLACE, ["True"])["STARTD_NOCLAIM_SHUTDOWN"]
        == "0"
    )


@pytest.mark.parametrize(
    ("change", "restart"),
    [({}, False), ({"WorkerGroupName": "x", "Start": "True"}, False), ({"CentralManager": "cm2"}, True)],
)
def test_only_another_pool_needs_a_restart(change: dict[str, str], restart: bool) -> None:
    assert needs_restart(render(OSG, VALUES, PLACE), render(OSG, {**VALUES, **change}, PLACE)) is restart


@pytest.mark.parametrize(
    ("text", "string"), [("", '""'), ("a\\", '"a\\"'), ("\\\\", '"\\\\"'), ('"', '"\\""'), ("é", '"é"')]
)
def test_quoted(text: str, string: str) -> None:
    assert quote(text) == string


def test_no_dollar_of_the_users_opens_a_macro() -> None:
    assert escape_macro("$(A) $5 $") == "$(DOLLAR)(A) $(DOLLAR)5 $(DOLLAR)"
    text = render(
        OSG, {**VALUES, "WorkerGroupName": "$(WORKER_GUARDS)", "Start": '"$(WORKER_GUARDS)"'}, PLACE
    )
    assert text.count("$(WORKER_GUARDS)") == 1


@pytest.mark.parametrize(
    ("idle", "interval"), [(0, 60), (1, 10), (15, 10), (100, 25), (1500, 60), (86400, 60)]
)
def test_idleness_is_looked_at_often_enough(idle: int, interval: int) -> None:
    assert update_interval(idle) == interval


WANTED = {
    **values_by_setting({}, PROMINENCE.keys), "Cloud": 'a "cloud" $(X)', "Region": "r", "NodeGroup": "g",
    "CentralManager": "cm",
}  # fmt: skip


def test_a_prominence_worker() -> None:
    assert render(PROMINENCE, WANTED, Machine(0, {})).splitlines() == [
        "# Written by the worker from /etc/prominence-worker.conf. Edit that file instead of this one.",
        "CONDOR_HOST = cm",
        "COLLECTOR_HOST = cm",
        'ProminenceCloud = "a \\"cloud\\" $(DOLLAR)(X)"',
        'ProminenceRegion = "r"',
        'ProminenceNodeGroup = "g"',
        "STARTD_NOCLAIM_SHUTDOWN = 0",
        "UPDATE_INTERVAL = 60",
        "STARTD_ATTRS = $(STARTD_ATTRS) ProminenceCloud ProminenceRegion ProminenceNodeGroup",
        "MASTER_ATTRS = $(MASTER_ATTRS) ProminenceCloud ProminenceRegion ProminenceNodeGroup",
        f"START = {BASE} && ( $(WORKER_GUARDS) ) && ( True )",
    ]


def test_one_job_only() -> None:
    start = expected_values(PROMINENCE, {**WANTED, "JobId": "a b$c"}, PLACE, ["True"])["START"]
    assert start == f'{BASE} && ( True ) && ( TARGET.ProminenceWantCluster =?= "a b$c" )'


def test_parallel_jobs_are_preferred_and_others_taken() -> None:
    wanted = expected_values(PROMINENCE, {**WANTED, "ScheddName": "s@h"}, PLACE, ["True"])
    assert wanted["RANK"] == 'TARGET.Scheduler =?= "DedicatedScheduler@s@h"'
    assert wanted["DedicatedScheduler"] == '"DedicatedScheduler@s@h"'
    assert wanted["ParallelSchedulingGroup"] == wanted["ProminenceCloud"]
    assert [wanted[name] for name in ("SUSPEND", "WANT_SUSPEND", "KILL")] == ["False"] * 3
    # The limits on memory and disk are part of PREEMPT.
    assert "PREEMPT" not in wanted and "Scheduler" not in wanted["START"]
