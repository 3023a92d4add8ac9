"""The servers that a worker connects to: of a known pool, of another one, one of several behind a port."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from worker_runtime.configuration import condor_config, instance, servers, worker_file
from worker_runtime.configuration.condor_config import Machine, needs_restart, render
from worker_runtime.configuration.servers import Server

from tests.unit.worker.conftest import OSG, RUNTIME

POOLS = OSG.pools
TABLE = json.loads((RUNTIME / "pools.json").read_text())
TODAY = "cm-1.ospool.osg-htc.org,cm-2.ospool.osg-htc.org"


def values(**given: str) -> dict[str, str]:
    return worker_file.values_by_setting({"Token": "t", "Start": "True", **given}, OSG.keys)


def macros(draw: int = 0, **given: str) -> dict[str, str]:
    return dict(condor_config.pool(OSG, values(**given), draw))


def test_the_default_is_the_table_s_default_pool() -> None:
    assert values()["CentralManager"] == TODAY
    first = next(row for row in TABLE["pools"] if row["name"] == TABLE["default"])
    assert ",".join(first["managers"]) == TODAY


def test_a_worker_that_is_told_nothing_asks_the_ospool_of_today() -> None:
    assert macros(2) == {
        "CONDOR_HOST": TODAY,
        "COLLECTOR_HOST": "cm-1.ospool.osg-htc.org:9618?sock=collector3,"
        "cm-2.ospool.osg-htc.org:9618?sock=collector3",
        "CCB_ADDRESS": "ccb-1.ospool.osg-htc.org:9618?sock=collector3,"
        "ccb-2.ospool.osg-htc.org:9618?sock=collector3",
        "TRUST_DOMAIN": "flock.opensciencegrid.org",
    }


@pytest.mark.parametrize("draw", [0, 9, 10, 4_294_967_295])
def test_each_worker_has_one_of_the_ten(draw: int) -> None:
    assert macros(draw)["CCB_ADDRESS"].count(f"?sock=collector{1 + draw % 10}") == 2


def test_the_facility_s_brokers_are_its_managers_behind_other_sockets() -> None:
    said = macros(4, CentralManager="cm-1.facility.path-cc.io,cm-2.facility.path-cc.io")
    assert said["COLLECTOR_HOST"] == said["CONDOR_HOST"]
    assert said["CCB_ADDRESS"].startswith("cm-1.facility.path-cc.io:9618?sock=collector9624,")
    assert "TRUST_DOMAIN" not in said


@pytest.mark.parametrize(
    ("managers", "is_known"),
    [
        ("CM-2.ospool.osg-htc.org.", True),
        ("cm-1.ospool.osg-htc.org:9618", True),
        ("cm-1.ospool.osg-htc.org:9619", False),
        ("cm-1.ospool.osg-htc.org,cm.example.org", False),
        ("cm-1.ospool.osg-htc.org,cm-1.ospool-itb.osg-htc.org", False),
        ("flock.opensciencegrid.org", False),
        ("[::1]:9618", False),
    ],
)
def test_which_pools_are_known(managers: str, is_known: bool) -> None:
    assert ("CCB_ADDRESS" in macros(CentralManager=managers)) is is_known


def test_the_name_of_before_is_a_host_as_any_other() -> None:
    host = "flock.opensciencegrid.org"
    assert macros(CentralManager=host) == {"CONDOR_HOST": host, "COLLECTOR_HOST": host}


def test_what_is_said_comes_before_what_is_known() -> None:
    said = macros(3, CCBAddress="a, b:1?sock=x2-3", TrustDomain="mine")
    assert (said["CCB_ADDRESS"], said["TRUST_DOMAIN"]) == ("a,b:1?sock=x3", "mine")
    asked = macros(CentralManager="cm-1.ospool.osg-htc.org:9618?sock=collector7")
    assert asked["COLLECTOR_HOST"] == "cm-1.ospool.osg-htc.org:9618?sock=collector7"


def test_who_is_manager_and_broker_is_asked_once() -> None:
    assert servers.all_servers(POOLS, values(CentralManager="a,b"), 0) == (
        Server(False, "a"),
        Server(False, "b"),
    )
    both = servers.all_servers(POOLS, values(CentralManager="a", CCBAddress="a,c"), 0)
    assert both == (Server(False, "a"), Server(True, "c"))


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("cm", "cm", 9618), ("cm:1", "cm", 1), ("[::1]:5", "[::1]", 5), ("[::1]", "[::1]", 9618),
     ("cm:7?sock=collector3", "cm", 7), ("cm?sock=x", "cm", 9618)],
)  # fmt: skip
def test_host_and_port(address: str, host: str, port: int) -> None:
    assert (servers.host_of(address), servers.port_of(address)) == (host, port)
    assert servers.without_socket(address) == address.partition("?")[0]


def test_another_broker_needs_no_restart_and_another_manager_does() -> None:
    before = render(OSG, values(CentralManager="a"), Machine(0, {}))
    assert not needs_restart(
        before, render(OSG, values(CentralManager="a", CCBAddress="b"), Machine(0, {}))
    )
    assert needs_restart(before, render(OSG, values(CentralManager="a,b"), Machine(0, {})))


def test_the_choice_stays_with_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "machine-id"
    monkeypatch.setattr(instance, "_MACHINE_ID", str(own))
    monkeypatch.setattr(socket, "gethostname", lambda: "h")
    by_name = instance.machine_number()
    own.write_text("")
    assert instance.machine_number() == by_name  # an empty one is as none
    own.write_text("0123\n")
    assert instance.machine_number() == instance.machine_number() != by_name


def test_each_fact_has_its_source_and_date() -> None:
    for row in (*TABLE["pools"], *TABLE["earlier"]):
        assert row["sources"]
        assert all(source[:4].isdigit() and source[4] == "-" for source in row["sources"])
