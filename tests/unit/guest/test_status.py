"""What a worker says of itself: its machine, its slots, its state."""

from __future__ import annotations

import json
from typing import Any

import pytest
from worker_runtime import machine, observe, status


def test_the_clouds_instance() -> None:
    data = {
        "v1": {
            "cloud_name": "openstack", "platform": "openstack", "instance_id": "i-0a", "region": "IU",
            "availability_zone": "nova",
        },
        "ds": {"meta_data": {"instance-type": "m3.small"}},
    }  # fmt: skip
    assert machine.shown(machine.of_cloud(data)) == {
        "CloudProvider": "openstack", "CloudPlatform": "openstack", "CloudInstanceID": "i-0a",
        "CloudRegion": "IU", "CloudZone": "nova", "CloudVMType": "m3.small",
    }  # fmt: skip


@pytest.mark.parametrize(
    "source",
    [
        {"meta_data": {"instance": {"machine-type": "projects/1/machineTypes/n1-standard-1"}}},
        {"metadata": {"compute": {"vmSize": "n1-standard-1"}}},
    ],
)
def test_each_source_has_its_own_place_for_the_type(source: dict[str, Any]) -> None:
    assert machine.of_cloud({"ds": source})["CloudVMType"] == "n1-standard-1"


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"v1": None, "ds": None},
        {"v1": {"region": 5, "cloud_name": "unknown"}, "ds": {"meta_data": "x"}},
    ],
)
def test_what_is_not_known_is_not_said(data: dict[str, Any]) -> None:
    assert machine.shown(machine.of_cloud(data)) == {}


def test_what_htcondor_cannot_hold_is_not_said() -> None:
    assert machine.shown({"A": "x\ninclude command : id", "B": "$$(x)", "C": "y" * 256, "D": "ok"}) == {
        "D": "ok"
    }


def test_slots() -> None:
    ads = [{"Name": "slot1@w", "State": state} for state in ("Unclaimed", "Claimed", "Preempting", "Owner")]
    address = "<10.0.2.15:9618?addrs=10.0.2.15-9618&alias=w&noUDP&sock=startd_201_72a0>"
    assert observe.slots_in(json.dumps(ads), address) == observe.Slots(2, "startd_201_72a0")


@pytest.mark.parametrize("said", [None, "", "[]", "garbage", "{}", "[1]"])
def test_no_answer_is_no_slots(said: str | None) -> None:
    assert observe.slots_in(said, "<127.0.0.1:1>") is None


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
    assert observe.login_in(session) == name


FOUND = {
    "state": "idle", "why": "no slot is claimed", "deadline": 1_000_240, "joined": 996_400, "ends": None,
    "claimed": 0, "on_idle": "poweroff", "configured": True, "pool": "cm", "group": "G", "start": "True",
    "image": {"WorkerImage": "osg-debian13-abc", "WorkerBakeryVersion": "0.1.0"}, "at": 1_000_000,
    "health": "OK",
}  # fmt: skip


def test_ten_lines() -> None:
    assert status.lines(FOUND, 1_000_000) == [
        "State:   idle",
        "Why:     no slot is claimed",
        "Next:    powers off at 1970-01-12 13:50:40 UTC (in 4 min), unless things change",
        "Pool:    cm, joined 60 min ago",
        "Group:   G",
        "Takes:   True",
        "Claimed: 0 slots",
        "Health:  OK",
        "Ends:    no MaxLifetime",
        "Image:   osg-debian13-abc, by worker-bakery 0.1.0",
    ]


def test_what_is_old_is_said_to_be() -> None:
    said = status.lines({**FOUND, "deadline": None, "joined": None, "ends": 999_000}, 1_000_200)
    assert said[2] == "Next:    nothing by itself"
    assert said[3] == "Pool:    cm, not joined"
    assert said[8] == "Ends:    at 1970-01-12 13:30:00 UTC (now)"
    assert said[10] == "Caution: as of 3 min ago: worker-life.service does not run"
