"""A launch and a deletion on a cloud that fails now and then: nothing is lost, doubled or left behind.

The cloud is in memory here; tests/integration/fleet has a real one, with fewer faults.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keystoneauth1 import exceptions as auth

from bakery.fleet import deletion, launch, marks
from bakery.fleet.api import Api
from bakery.fleet.marks import Mark
from bakery.fleet.plan import Flavor, Image, Plan
from bakery.fleet.servers import Server
from provisioner.errors import Interrupted, Refused
from provisioner.events import Silent

MARK = Mark("0a1b2c3d4e5f", "mine", "cm.example.edu")
COUNT = 6
PLAN = Plan(
    MARK, marks.names("mine", MARK.launch, COUNT), Image("i", "image"), Flavor("f", "flavor", 1, 1, 1),
    "net", b"secret", (marks.server_group(MARK.launch, 1),), 4,
)  # fmt: skip
FAULTS = st.lists(
    st.sampled_from(("", "lost", "busy", "error", "quota", "policy", "interrupt", "down", "ended")),
    max_size=12,
)


def failed(status: int) -> Exception:
    # Here and below, not at the top: it takes most of a second, and each lane of tests imports this module.
    from openstack import exceptions

    error = exceptions.HttpException("An accident")
    error.status_code = status
    return cast(Exception, error)


@dataclass
class Cloud:
    """What Api does, with faults: one for each request that creates a server."""

    faults: Iterator[str]
    there: dict[str, Server] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    stuck: frozenset[str] = frozenset()
    now: float = 0.0
    cloud: str = "site"
    ended: bool = False
    end: Exception = field(default_factory=lambda: auth.Unauthorized("ended"))
    _ids: Iterator[int] = field(default_factory=itertools.count)

    def security_group(self) -> tuple[str, bool]:
        return "sg", False

    def create_server_group(self, name: str) -> str:
        self.groups.add(name)
        return name

    def server_groups(self) -> list[dict[str, Any]]:
        return [{"id": name, "name": name, "members": list(self.there)} for name in self.groups]

    def delete_server_group(self, id: str) -> None:
        self.groups.discard(id)

    def servers(self, launch: str = "") -> list[Server]:
        self.authenticate()
        return list(self.there.values())

    def create(self, body: dict[str, Any]) -> str:
        from openstack import exceptions

        fault = next(self.faults, "")
        self.ended = self.ended or fault == "ended"
        self.authenticate()
        if fault == "down":
            raise failed(400)
        if fault == "interrupt":
            raise Interrupted(2)
        if fault in ("quota", "policy"):
            raise exceptions.ForbiddenException("Quota exceeded")
        if fault == "busy":
            raise failed(429)
        id = str(next(self._ids))
        status = "ERROR" if fault == "error" else "ACTIVE"
        self.there[id] = Server(
            id, body["server"]["name"], MARK, status, "flavor", 0, 0, fault="No valid host"
        )
        if fault == "lost":
            raise failed(504)
        return id

    def authenticate(self) -> None:
        """As keystoneauth does when Keystone gives no other token."""
        if self.ended:
            raise self.end

    def delete(self, server: Server) -> None:
        if server.id in self.stuck:
            raise failed(500)
        self.there.pop(server.id, None)


@pytest.fixture(autouse=True, scope="module")
def no_waiting() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", lambda _: None)
        yield


# Of a credential that has ended, and of one that was deleted.
ENDS = (
    auth.Unauthorized("The request you have made requires authentication."),
    auth.NotFound("Could not find Application Credential", url="http://k/v3/auth/tokens"),
)


@given(FAULTS, st.booleans(), st.sampled_from(ENDS))
def test_a_launch_makes_all_or_nothing_or_says_what_it_kept(
    faults: list[str], keep: bool, end: Exception
) -> None:
    from openstack import exceptions

    cloud = Cloud(iter(faults), end=end)
    try:
        made = launch.launch(PLAN, cast(Api, cloud), Silent(), keep_partial=keep)
    except Refused as error:
        assert cloud.ended
        is_told_what_stays(str(error), cloud, keep)
        return
    except (exceptions.HttpException, Interrupted) as error:
        kept = keep and not isinstance(error, Interrupted)
        assert kept or (cloud.there == {} and cloud.groups == set())
        return
    assert not cloud.ended
    names = [server.name for server in cloud.servers()]
    assert sorted(names) == sorted(server.name for server in made.servers)
    assert len(set(names)) == len(names)
    if made.failure is None:
        assert tuple(server.name for server in made.servers) == PLAN.names
    elif not keep:
        assert names == [] and cloud.groups == set()
    assert "secret" not in str(made.failure)


def is_told_what_stays(said: str, cloud: Cloud, keep: bool) -> None:
    there = len(cloud.there)
    verb = "list" if keep or not there else "delete"
    assert f"worker-bakery fleet {verb} --cloud site --launch {MARK.launch}" in said
    assert f"{there} of {COUNT} servers were made, and stay" in said or not there


@pytest.mark.parametrize("keep", [False, True])
def test_credentials_that_another_request_has_renewed(keep: bool) -> None:
    """The cloud refuses a token once, and then accepts another: nothing has to stay."""
    cloud = Cloud(iter(()))

    def create(body: dict[str, Any]) -> str:
        if len(cloud.there) == 2:
            raise failed(401)
        return Cloud.create(cloud, body)

    vars(cloud)["create"] = create
    with pytest.raises(Refused, match="not accept them any more"):
        launch.launch(PLAN, cast(Api, cloud), Silent(), keep_partial=keep)
    assert len(cloud.there) == (2 if keep else 0)


@given(st.sets(st.integers(0, 4)))
def test_a_server_that_is_not_deleted_stops_nothing(stuck: set[int]) -> None:
    cloud = Cloud(iter(()), stuck=frozenset(map(str, stuck)))
    for name in PLAN.names[:5]:
        cloud.create({"server": {"name": name}})
    everything = cloud.servers()
    left = deletion.delete_all(cast(Api, cloud), everything, Silent())
    assert {server.id for server in left} == set(map(str, stuck)) == set(cloud.there)
    assert [one.id for one in deletion.delete_all(cast(Api, cloud), left, Silent())] == [
        one.id for one in left
    ]


def test_a_server_that_comes_back_in_error_is_not_waited_for() -> None:
    cloud = Cloud(iter(()))
    cloud.create({"server": {"name": "one"}})
    [server] = cloud.servers()
    vars(cloud)["delete"] = lambda one: cloud.there.update({one.id: broken(one)})
    assert deletion.delete_all(cast(Api, cloud), [server], Silent()) == [server]


def test_what_another_reap_has_deleted_is_not_left() -> None:
    cloud = Cloud(iter(()))
    cloud.create({"server": {"name": "one"}})
    everything = cloud.servers()

    def conflict(server: Server) -> None:
        cloud.there.clear()
        raise failed(409)

    vars(cloud)["delete"] = conflict
    assert deletion.delete_all(cast(Api, cloud), everything, Silent()) == []


def broken(server: Server) -> Server:
    return replace(server, status="ERROR", fault="its port could not be deleted")
