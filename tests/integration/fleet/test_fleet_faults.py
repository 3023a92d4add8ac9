"""Clocks that differ, tokens and credentials that end, a killed launch, a silent pool."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from bakery.machines.network import GATEWAY, Network
from bakery.runtime.conditions import wait_until
from bakery.verify.pool.throwaway_pool import Pool
from provisioner.errors import NotProven
from tests.integration.control_plane import programs
from tests.integration.control_plane.configuration import AUTH_URL, FAULTY_NOVA
from tests.integration.control_plane.plane import Plane
from tests.integration.fleet.test_fleet import argv_of, ended, listed, of, popen, server_groups, servers

pytestmark = pytest.mark.full  # as test_fleet.py


def shifted(hours: str) -> dict[str, str]:
    """The environment of a program whose clock is ahead, or behind: "+3h"."""
    return {"LD_PRELOAD": str(programs.faketime()), "FAKETIME": hours, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def deleted(plane: Plane, group: str) -> None:
    argv = ("fleet", "delete", "--cloud", "site", "--group", group, "--yes", "--force", "--json")
    of(plane.bakery(*argv))


def test_ages_and_states_do_not_depend_on_the_clock_of_the_client(plane: Plane, token: Path) -> None:
    of(plane.bakery(*argv_of(token, "--count", "2", "--json", group="clock")))
    seen = listed(plane, "--group", "clock")
    for hours in ("+3h", "-3h"):
        shown = plane.bakery(
            "fleet", "list", "--cloud", "site", "--group", "clock", "--json", env=shifted(hours)
        )
        found = {one["name"]: one for one in of(shown)["servers"]}
        assert {name: one["state"] for name, one in found.items()} == dict.fromkeys(seen, "booting")
        assert all(one["age"] < 600 for one in found.values())
        reaped = plane.bakery("fleet", "reap", "--cloud", "site", "--json", "--yes", env=shifted(hours))
        assert of(reaped)["servers"] == []
    assert set(listed(plane, "--group", "clock")) == set(seen)
    deleted(plane, "clock")


def test_only_a_clock_by_which_the_token_has_expired_refuses_it(plane: Plane, token: Path) -> None:
    """HTCondor does not look at the time of issue, either."""
    refused = plane.bakery(*argv_of(token, "--count", "1", group="clock"), env=shifted("+5h"))
    assert refused.status == 2 and "The token expired on" in refused.err
    planned = plane.bakery(*argv_of(token, "--count", "1", "--dry-run", group="clock"), env=shifted("-3h"))
    assert planned.status == 0 and "Nothing was made" in planned.out + planned.err
    assert not [name for name in servers(plane) if name.startswith("clock-")]


def test_a_token_that_has_ended_is_refused_before_anything_is_made(
    plane: Plane, pool: Pool, tmp_path: Path
) -> None:
    file = tmp_path / "ended-token"
    file.write_text(pool.worker_token(lifetime=-60))
    file.chmod(0o600)
    refused = plane.bakery(*argv_of(file, "--count", "2", group="ended"))
    assert refused.status == 2 and "expired" in refused.err and file.read_text() not in refused.err
    assert not [name for name in servers(plane) if name.startswith("ended-")]
    assert not [name for name in server_groups(plane) if "worker-bakery" in name]


def test_a_server_group_that_a_killed_launch_has_left_is_reaped(
    plane: Plane, network: Network, token: Path
) -> None:
    """Also if a launch of somebody else has just made its group, which stays."""
    with plane.faulty_nova("1:hang"):
        argv = argv_of(token, "--count", "3", group="grouped", cloud="faulty")
        launch = popen(plane, network, *argv)
        [name] = wait_until("the server group is there", lambda: server_groups(plane))
        os.kill(launch.pid, signal.SIGKILL)
        launch.communicate()
    foreign = plane.python("""
made = connect("site").compute.create_server_group(name="precious", policy="soft-anti-affinity")
print(json.dumps(made.name))
""")
    reap = ("fleet", "reap", "--cloud", "site", "--json")
    assert of(plane.bakery(*reap, "--yes"))["server_groups"] == []  # it is not old
    old = (*reap, "--build-limit", "1s")
    assert of(plane.bakery(*old, "--group", "grouped", "--yes"))["server_groups"] == []
    shown: dict[str, Any] = of(plane.bakery(*old))
    assert shown["server_groups"] == [name] and not shown["done"]
    assert set(server_groups(plane)) == {name, foreign}
    assert of(plane.bakery(*old, "--yes"))["server_groups"] == [name]
    assert server_groups(plane) == [foreign]
    plane.python("""
cloud = connect("site").compute
for one in cloud.server_groups():
    cloud.delete_server_group(one)
""")


def test_a_pool_that_does_not_answer_is_named(plane: Plane, token: Path) -> None:
    """Nothing is called lost, and nothing is reaped, of which the pool cannot say anything."""
    argv = [*argv_of(token, "--count", "1", "--json", group="silent")]
    argv[argv.index(GATEWAY)] = f"{GATEWAY}:9"
    of(plane.bakery(*argv))
    shown = plane.bakery("fleet", "list", "--cloud", "site", "--group", "silent", "--lost-after", "1s")
    assert "The states of workers are unknown" in shown.err and "to port 9" in shown.err
    assert "unknown" in shown.out
    reap = ("fleet", "reap", "--cloud", "site", "--group", "silent", "--lost-after", "1s", "--json")
    assert of(plane.bakery(*reap, "--yes"))["servers"] == []
    deleted(plane, "silent")


def ending_credential(plane: Plane, file: Path) -> str:
    """An application credential, as the cloud `ending` of a clouds.yaml, behind the proxy; its id."""
    script = """
cloud = connect("site")
made = cloud.identity.create_application_credential(user=cloud.current_user_id, name="ending")
print(json.dumps([made.id, made.secret]))
"""
    id, secret = plane.python(script)
    auth = {"auth_url": AUTH_URL, "application_credential_id": id, "application_credential_secret": secret}
    cloud = {"auth_type": "v3applicationcredential", "auth": auth, "region_name": "RegionOne"}
    clouds = {"ending": {**cloud, "compute_endpoint_override": FAULTY_NOVA}}
    file.write_text(yaml.safe_dump({"clouds": clouds}))
    return str(id)


@pytest.mark.parametrize("keep", [(), ("--keep-partial",)], ids=["undo", "keep"])
def test_an_application_credential_that_ends_within_a_launch(
    keep: tuple[str, ...], plane: Plane, network: Network, token: Path, tmp_path: Path
) -> None:
    """It is deleted at the third request for a server: nothing depends on the speed of the machine."""
    file = tmp_path / "clouds.yaml"
    credential, env = ending_credential(plane, file), {"OS_CLIENT_CONFIG_FILE": str(file)}
    argv = argv_of(token, "--count", "5", *keep, group="ending", cloud="ending")
    with plane.faulty_nova("3:ended") as proxy:
        launch = popen(plane, network, *argv, env=env)

        def third() -> bool:
            if launch.poll() is not None:
                raise NotProven(f"the launch has ended: {launch.communicate()}")
            return proxy.with_suffix(".paused").exists()

        wait_until("the third server is asked for", third)
        revoke = """
cloud = connect("site")
cloud.identity.delete_application_credential(cloud.current_user_id, sys.argv[1])
"""
        plane.python(revoke, credential)
        proxy.with_suffix(".resume").touch()
        done = ended(launch)
    assert done.status == 12 and "have ended during the launch" in done.err, done.err
    assert "2 of 5 servers were made, and stay" in done.err and "Traceback" not in done.err
    found = re.search(r"fleet (\w+) --cloud ending --launch ([0-9a-f]{12})", done.err)
    assert found and found[1] == ("list" if keep else "delete")
    there = listed(plane, "--launch", found[2])
    assert len(there) == 2
    assert {name for name in servers(plane) if name.startswith("ending-")} == set(there)
    again = plane.bakery("fleet", "list", "--cloud", "ending", env=env)
    assert again.status == 12 and "They are wrong or have expired" in again.err
    gone = ("fleet", "delete", "--cloud", "site", "--launch", found[2], "--yes", "--force", "--json")
    assert {one["name"] for one in of(plane.bakery(*gone))["servers"]} == set(there)
    assert not [name for name in servers(plane) if name.startswith("ending-")]
    assert server_groups(plane) == []
