"""What a launch checks and makes, what it costs, and how it is reported."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from bakery.fleet import joining, plan, rates, report
from bakery.fleet.marks import Mark, names
from bakery.fleet.plan import Flavor, Image, Limits, Plan
from bakery.fleet.servers import Server
from bakery.fleet.states import Member
from provisioner.errors import BadInput, Refused

MARK = Mark("0a1b2c3d4e5f", "Mine é", "cm.example.edu", 900, 0)
FLAVOR = Flavor("1", "m3.small", 2, 6144, 20)
IMAGE = Image("i", "osg-debian13", min_disk=4, min_ram=1024, kind="osg")
SECRET = b"#!/bin/bash\nToken = eyJhbGciOiJIUzI1NiJ9.canary.canary\n"
PLAN = Plan(MARK, names(MARK.group, MARK.launch, 5), IMAGE, FLAVOR, "net", SECRET, ("a", "b"), 2)
NOW = 1_800_000_000.0


def test_the_token_is_in_the_request_alone() -> None:
    body = PLAN.body("one", "sg", "group")
    assert base64.b64decode(body["server"].pop("user_data")) == SECRET
    assert "canary" not in json.dumps(body) + repr(PLAN)
    assert body["os:scheduler_hints"] == {"group": "group"}
    assert "os:scheduler_hints" not in PLAN.body("one", "sg", "")
    assert body["server"]["tags"] == ["worker-bakery", "worker-bakery-0a1b2c3d4e5f"]


def test_servers_beyond_the_groups_have_none() -> None:
    assert [PLAN.server_group(place) for place in range(5)] == ["a", "a", "b", "b", ""]


@pytest.mark.parametrize(
    ("count", "values", "sizes"),
    [
        (20, {"maxServerGroupMembers": 10, "maxServerGroups": 10}, (2, 10)),
        (20, {"maxServerGroupMembers": 10, "maxServerGroups": 10, "totalServerGroupsUsed": 9}, (1, 10)),
        (20, {"maxServerGroupMembers": 10, "maxServerGroups": 0}, (0, 0)),
        (20, {"maxServerGroupMembers": -1, "maxServerGroups": -1}, (1, 20)),
        (20, {}, (1, 20)),
        (1, {}, (0, 0)),
        (5, {"maxServerGroupMembers": 1}, (0, 0)),
    ],
)
def test_server_groups_keep_the_limits_of_nova(
    count: int, values: dict[str, int], sizes: tuple[int, int]
) -> None:
    groups, each = plan.server_groups("0a1b2c3d4e5f", count, Limits(values))
    assert (len(groups), each) == sizes


def test_the_quota_is_checked_in_all_its_parts() -> None:
    plan.check_quota(Limits({"maxTotalInstances": -1}), FLAVOR, 10**6)
    plan.check_quota(Limits({"maxTotalInstances": 10, "totalInstancesUsed": 5}), FLAVOR, 5)
    with pytest.raises(Refused, match=r"6 servers are requested, 5 are left.*--count 5"):
        plan.check_quota(Limits({"maxTotalInstances": 10, "totalInstancesUsed": 5}), FLAVOR, 6)
    with pytest.raises(Refused, match=r"12 vCPUs are requested, 7 are left.*--count 3"):
        plan.check_quota(Limits({"maxTotalCores": 7}), FLAVOR, 6)
    with pytest.raises(Refused, match=r"MiB of memory.*\. Delete servers"):
        plan.check_quota(Limits({"maxTotalRAMSize": 100, "totalRAMUsed": 200}), FLAVOR, 1)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (replace(IMAGE, status="queued"), "is queued, not active"),
        (replace(IMAGE, kind="prominence"), "is for prominence workers"),
        (replace(IMAGE, min_disk=21), "requires 21 GiB"),
        (replace(IMAGE, min_ram=8000), "requires 8000 MiB"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(image: Image, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        plan.check_image(image, FLAVOR, "osg")
    plan.check_image(replace(IMAGE, kind=""), replace(FLAVOR, disk=0), "osg")


def test_the_network_must_be_clear() -> None:
    one = {"id": "1", "name": "workers", "router:external": False}
    outside = {"id": "2", "name": "public", "router:external": True}
    assert plan.choose_network([one, outside], "") == "1"
    assert plan.choose_network([one, outside], "public") == "2"
    assert plan.choose_network([one, {**one, "id": "3"}], "3") == "3"
    for found, wanted in (([outside], ""), ([one, {**one, "id": "3"}], "workers"), ([one], "worker")):
        with pytest.raises(BadInput):
            plan.choose_network(found, wanted)


def test_a_group_name_must_fit_into_metadata() -> None:
    plan.check_metadata(MARK)
    with pytest.raises(BadInput, match="--group-name is too long"):
        plan.check_metadata(replace(MARK, group="é" * 50))


# --- costs -------------------------------------------------------------------------------------


def server(hours: float, status: str = "ACTIVE", off: float = 0, flavor: str = "m3.small") -> Server:
    return Server("id", "name", MARK, status, flavor, NOW - hours * 3600, NOW - off * 3600)


def test_costs_of_jetstream2() -> None:
    su = rates.JETSTREAM2
    assert su.per_hour(server(10)) == 2 and su.so_far(server(10), NOW) == 20
    assert su.per_hour(server(10, "SHUTOFF")) == 1
    assert su.so_far(server(10, "SHUTOFF", off=4), NOW) == 6 * 2 + 4 * 1
    assert su.so_far(server(10, "SHELVED_OFFLOADED", off=4), NOW) == 12
    assert su.per_hour(server(10, "ERROR")) == 2  # not stated: as if it ran
    assert su.per_hour(server(10, flavor="other")) is None
    assert rates.total([1.0, None]) is None and rates.total([]) == 0
    assert [rates.amount(one, "SU") for one in (None, 0.5, 40.0, 1234.56)] == [
        "?",
        "0.50 SU",
        "40 SU",
        "1235 SU",
    ]


def test_the_clock_of_the_cloud_may_be_behind() -> None:
    assert rates.JETSTREAM2.so_far(server(-1), NOW) == 0


def test_rates_are_of_the_cloud_that_they_are_of() -> None:
    assert rates.of_cloud("https://js2.jetstream-cloud.org:5000/v3/") is rates.JETSTREAM2
    assert rates.of_cloud("https://jetstream-cloud.org.example.com:5000/v3") is None
    assert rates.of_cloud("https://notjetstream-cloud.org") is None


@pytest.mark.parametrize(
    "text",
    ["x", 'unit = "EUR"', "[flavors]\na = 1", 'unit = "E"\n[flavors]\na = "1"',
     'unit = "E"\n[flavors]\na = -1',
     'unit = "E"\n[flavors]\na = true', 'unit = "E"\n[flavors]\na = 1\n[states]\nSHUTOFF = 2',
     'unit = "E"\nflavor = 1', 'unit = "E"\n[flavors]\na = nan', 'unit = "\\u001b"\n[flavors]\na = 1'],
)  # fmt: skip
def test_wrong_rates_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"rates\.toml"):
        rates.parse(text, "rates.toml")


def test_rates_of_a_file() -> None:
    found = rates.parse('unit = "EUR"\n[flavors]\n"m1.small" = 0.05\n[states]\nshutoff = 0\n', "f")
    assert found.per_hour(server(1, "SHUTOFF", flavor="m1.small")) == 0
    assert found.per_hour(server(1, flavor="m1.small")) == 0.05


def test_the_report_says_what_costs_and_does_no_work() -> None:
    members = [Member(server(10), None, "booting"), Member(server(10, "SHUTOFF", off=4), None, "shut off")]
    lines = list(report.remarks(members, rates.JETSTREAM2, NOW, "js2"))
    assert lines[0] == (
        "WARNING: 1 server without a worker may still be charged: worker-bakery fleet reap --cloud js2"
    )
    assert lines[1].startswith(
        "2 servers (1 booting, 1 shut off); 3 SU per hour, about 36 SU so far (rates of"
    )
    assert report.rows(members, None, NOW)[0][-1] == "age"
    assert report.as_json(members, rates.JETSTREAM2, NOW)["per_hour"] == 3


def test_why_a_worker_has_not_joined() -> None:
    log = "Linux version 6\nci-info: no authorized SSH keys fingerprints found for user debian.\n"
    own = "[   90.1] osg-worker: joining: port 9618 of cm.example.edu does not answer\n"
    assert joining.console_reason(log) == ""
    assert "port 9618" in joining.console_reason(log + own)
    assert "panic" in joining.console_reason("Kernel panic - not syncing: x")
    assert joining.console_reason("") == "The serial console printed nothing."
