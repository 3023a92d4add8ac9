"""What a worker reports about itself: its machine, its slots, its state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from worker_runtime.configuration import applied, instance, worker_file
from worker_runtime.configuration.applied import Applied, FileStatus, Fingerprint
from worker_runtime.configuration.servers import Server
from worker_runtime.lifecycle import advertisement, inspection, observe, report, states, watch
from worker_runtime.lifecycle.advertisement import Progress
from worker_runtime.lifecycle.inspection import Inspection, Service
from worker_runtime.lifecycle.join import Answers
from worker_runtime.lifecycle.states import Facts, Memory, Status
from worker_runtime.status import status

from tests.unit.worker.conftest import OSG


def test_the_clouds_instance() -> None:
    data = {
        "v1": {
            "cloud_name": "openstack", "platform": "openstack", "instance_id": "i-0a", "region": "IU",
            "availability_zone": "nova",
        },
        "ds": {"meta_data": {"instance-type": "m3.small"}},
    }  # fmt: skip
    assert instance.representable(instance.cloud_attributes(data)) == {
        "CloudProvider": "openstack", "CloudPlatform": "openstack", "CloudInstanceID": "i-0a",
        "CloudRegion": "IU", "CloudZone": "nova", "CloudVMType": "m3.small",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("server", "uuid"),
    [
        ({"name": "site-0a1b2c3d4e", "meta": {"worker_bakery_drone": "tardis"}}, "site-0a1b2c3d4e"),
        ({"name": "site-0a1b2c3d4e", "meta": {"worker_bakery_launch": "x"}}, ""),
        ({"name": 7, "meta": {"worker_bakery_drone": "tardis"}}, ""),
        ({"meta": "worker_bakery_drone"}, ""),
    ],
)
def test_a_drone_of_tardis_has_the_name_of_its_server(server: dict[str, Any], uuid: str) -> None:
    assert instance.cloud_attributes({"ds": {"meta_data": server}})["TardisDroneUuid"] == uuid


@pytest.mark.parametrize(
    "source",
    [
        {"meta_data": {"instance": {"machine-type": "projects/1/machineTypes/n1-standard-1"}}},
        {"metadata": {"compute": {"vmSize": "n1-standard-1"}}},
    ],
)
def test_each_source_has_its_own_place_for_the_type(source: dict[str, Any]) -> None:
    assert instance.cloud_attributes({"ds": source})["CloudVMType"] == "n1-standard-1"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"v1": None, "ds": None},
        {"v1": {"region": 5, "cloud_name": "unknown"}, "ds": {"meta_data": "x"}},
    ],
)
def test_what_is_not_known_is_not_said(data: dict[str, Any]) -> None:
    assert instance.representable(instance.cloud_attributes(data)) == {}


def test_what_htcondor_cannot_hold_is_not_said() -> None:
    assert instance.representable(
        {"A": "x\ninclude command : id", "B": "$$(x)", "C": "y" * 256, "D": "ok"}
    ) == {"D": "ok"}


def test_slots() -> None:
    ads: list[dict[str, object]] = [
        {"Name": "slot1@w", "State": state} for state in ("Unclaimed", "Claimed", "Preempting", "Owner")
    ]
    address = "<10.0.2.15:9618?addrs=10.0.2.15-9618&alias=w&noUDP&sock=startd_201_72a0>"
    names = ("slot1@w",) * 4
    assert observe.parse_slots(json.dumps(ads), address) == observe.Slots(2, "startd_201_72a0", None, names)
    ads[1]["NODE_IS_HEALTHY"] = False
    assert observe.parse_slots(json.dumps(ads), address) == observe.Slots(2, "startd_201_72a0", False, names)


@pytest.mark.parametrize("said", [None, "", "[]", "garbage", "{}", "[1]"])
def test_no_answer_is_no_slots(said: str | None) -> None:
    assert observe.parse_slots(said, "<127.0.0.1:1>") is None


@pytest.mark.parametrize(
    ("session", "name"),
    [
        ({"Class": "user", "Name": "alice", "State": "active"}, "alice"),
        ({"Class": "user", "Name": "alice", "State": "online"}, "alice"),
        ({"Class": "user", "Name": "alice", "State": "closing"}, ""),
        ({"Class": "background", "Name": "cron", "State": "active"}, ""),
        ({"Class": "manager", "Name": "alice", "State": "active"}, ""),
        ({}, ""),
    ],
)
def test_who_is_logged_in(session: dict[str, str], name: str) -> None:
    assert observe.parse_login(session) == name


FOUND = {
    "state": "idle", "why": "no slot is claimed", "deadline": 1_000_240, "joined": 996_400, "ends": None,
    "claimed": 0, "on_idle": "poweroff", "configured": True, "pool": "cm", "group": "G", "start": "True",
    "image": {"WorkerImage": "osg-debian13-abc", "WorkerBakeryVersion": "0.1.0"}, "at": 1_000_000,
    "health": "OK", "health_at": 999_960, "pending": "", "problems": [], "live": True, "advertised": True,
    "servers": [], "age": 0.2, "remark": "", "watched": True, "token": {"expires": None, "renewed": None},
}  # fmt: skip


def test_ten_lines() -> None:
    assert status.format_lines(FOUND, 1_000_000) == [
        "State:   idle",
        "Why:     no slot is claimed",
        "Next:    powers off at 1970-01-12 13:50:40 UTC (in 4 min), unless the state changes",
        "Pool:    cm, joined 60 min ago",
        "Group:   G",
        "Takes:   True",
        "Token:   does not expire",
        "Claimed: 0 slots",
        "Health:  OK, checked 40 s ago",
        "Ends:    no MaxLifetime",
        "Image:   osg-debian13-abc, by worker-bakery 0.1.0",
    ]


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ({"expires": None, "renewed": None}, "does not expire"),
        ({"expires": 1_600_000, "renewed": None}, "valid until 1970-01-19 12:26:40 UTC (in 6 days)"),
        (
            {"expires": 1_000_600, "renewed": 1_000_400},
            "valid until 1970-01-12 13:56:40 UTC (in 10 min), renewed at 1970-01-12 13:53:20 UTC (in 6 min)",
        ),
        ({"expires": 999_999, "renewed": 999_000}, "expired at 1970-01-12 13:46:39 UTC (now)"),
    ],
)
def test_until_when_the_token_is_valid(token: dict[str, Any], text: str) -> None:
    assert f"Token:   {text}" in status.format_lines({**FOUND, "token": token}, 1_000_000)
    unset = status.format_lines({**FOUND, "token": token, "configured": False}, 1_000_000)
    assert "Token:   (none: not configured)" in unset


def test_what_is_not_of_now_is_said_to_be_old() -> None:
    known = {**FOUND, "deadline": None, "joined": None, "ends": 999_000, "health_at": None, "live": False}
    said = status.format_lines({**known, "age": 12.9, "remark": "only root may ask the watch"}, 1_000_200)
    assert said[2] == "Next:    nothing scheduled"
    assert said[3] == "Pool:    cm, not joined"
    assert said[8] == "Health:  OK"
    assert said[9] == "Ends:    at 1970-01-12 13:30:00 UTC (now)"
    assert said[11:] == ["As of:   12 s ago: only root may ask the watch"]
    dead = {**known, "age": 12, "watched": False, "remark": "worker-life.service does not run (failed)"}
    assert status.format_lines(dead, 0)[11:] == [
        "Caution: 12 s ago: worker-life.service does not run (failed)"
    ]
    assert status.format_lines({**known, "age": 180}, 0)[11].startswith("Caution: 3 min ago: ")


def test_a_name_that_a_terminal_cannot_show_is_escaped() -> None:
    assert status.printable("Group: é", "ascii") == "Group: \\xe9"
    assert status.printable("Group: é", "utf-8") == "Group: é"


def test_what_is_waited_for_and_what_is_wrong_comes_first() -> None:
    said = status.format_lines({**FOUND, "pending": "/f has changed and is being read"}, 1_000_000)
    assert said[2] == "Pending: /f has changed and is being read"
    untold = status.format_lines({**FOUND, "advertised": False}, 1_000_000)
    assert untold[3] == "Pool:    cm, joined 60 min ago, does not show the last change yet"
    wrong = status.format_lines({**FOUND, "problems": ["Start is empty", "Token is missing"]}, 1_000_000)
    assert wrong[2:4] == ["Problem: Start is empty", "Problem: Token is missing"]


def seen(**changes: Any) -> Inspection:
    """A look at a worker that is configured and in the pool."""
    values = {**settings_of("G"), "IdleTimeout": "1500"}
    mine = observe.Slots(0, "startd_1", True)
    content = Fingerprint("digest", "")
    plain = Inspection(
        at=50.0,
        epoch=1_000_000.0,
        facts=Facts(100, 7.0, "active", False, "startd_1", 0, True, ""),
        limits=states.limits(values, 0),
        values=values,
        reading=FileStatus(content, Applied(content, ())),
        expected=advertisement.expected(OSG, values, 7.0, mine),
        pool_ads=None,
        health={},
        answers=Answers((Server(False, "cm"), Server(True, "ccb")), ("", "connection broker: gone"), 40.0),
    )
    return plain._replace(**changes)


def settings_of(group: str) -> dict[str, str]:
    return worker_file.values_by_setting({"WorkerGroupName": group, "CentralManager": "cm"}, OSG.keys)


def service() -> Service:
    return Service(
        OSG,
        0.0,
        dict,
        lambda _: None,
        lambda: FileStatus(Fingerprint(), None),
        lambda: applied.BEING_READ,
        lambda: None,
    )


def told_by(of: Inspection) -> dict[str, Any]:
    return report.build(
        Status("idle", "why"), Memory(joined=90), Progress(of.expected, 1, True), of, service()
    )


def test_what_the_watch_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(instance, "IMAGE", str(tmp_path / "none"))
    said = told_by(seen())
    assert (said["state"], said["group"], said["htcondor"], said["advertised"]) == (
        "idle",
        "G",
        "active",
        True,
    )
    assert (said["pending"], said["problems"], said["at"], said["looked"]) == ("", [], 1_000_000, 50.0)
    assert said["joined"] == 1_000_000 - 100 + 90


def test_a_file_that_is_not_read_yet_is_waited_for() -> None:
    before = Applied(Fingerprint("old", ""), ("Start is empty",))
    said = told_by(seen(reading=FileStatus(Fingerprint("new", ""), before)))
    assert said["pending"] == "/etc/osg-worker.conf has changed and is being read"
    assert said["problems"] == []
    again = told_by(seen(reading=FileStatus(Fingerprint("old", ""), before)))
    assert (again["pending"], again["problems"]) == ("", ["Start is empty"])
    none = told_by(seen(reading=FileStatus(Fingerprint(), Applied(Fingerprint(), ()))))
    assert none["pending"] == "waiting for /etc/osg-worker.conf (missing or empty)"


def test_a_startd_that_is_about_to_be_told_something_is_not_the_one_to_be_shown() -> None:
    assert inspection.has_pending_job({"Job": "17", "ActiveState": "active"})
    assert not inspection.has_pending_job(
        {"ActiveState": "active", "Job": "0"}
    ) and not inspection.has_pending_job({})


def test_the_watch_hurries_only_where_something_is_about_to_change() -> None:
    state = watch.WatchState(Memory(startd="startd_1", began=0, joined=90), status=Status("idle", ""))
    plain = seen(health={"healthy": True, "at": 999_990})
    done = state._replace(progress=Progress(plain.expected, 0, True))
    assert watch.seconds_to_wait(done, plain) == watch.MAX_INTERVAL
    assert (
        watch.seconds_to_wait(state, plain) == watch.URGENT_INTERVAL
    )  # the pool does not show the worker yet
    ill = plain._replace(health={"healthy": False, "at": 999_990})  # and the startd does not know
    assert watch.seconds_to_wait(done, ill) == watch.URGENT_INTERVAL
    assert watch.seconds_to_wait(done, ill._replace(epoch=1_001_000.0)) == watch.MAX_INTERVAL
    joins = state._replace(memory=Memory(startd="startd_1", began=50), status=Status("joining", ""))
    assert watch.seconds_to_wait(joins, plain) == watch.URGENT_INTERVAL
    assert (
        watch.seconds_to_wait(joins, plain._replace(facts=plain.facts._replace(now=500)))
        == watch.MAX_INTERVAL
    )
    short = plain._replace(limits=plain.limits._replace(idle=20))
    assert watch.seconds_to_wait(done, short) == watch.MIN_INTERVAL
