"""Clocks that differ, credentials and tokens that end, and a launch that is killed at its worst moment."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from bakery.machines.network import GATEWAY, Network
from bakery.runtime.conditions import wait_until
from bakery.verify.pool.throwaway_pool import Pool
from tests.integration.control_plane import programs
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


def expiring(plane: Plane, folder: Path, seconds: int) -> dict[str, str]:
    """The environment with a cloud `expiring`, of an application credential that ends so soon."""
    script = """
import datetime
user = connect("site")
until = datetime.datetime.utcnow() + datetime.timedelta(seconds=int(sys.argv[1]))
made = user.identity.create_application_credential(
    user.current_user_id, f"expiring-{until:%H%M%S}", expires_at=until.strftime("%Y-%m-%dT%H:%M:%S")
)
print(json.dumps([made.id, made.secret]))
"""
    id, secret = plane.python(script, str(seconds))
    clouds = yaml.safe_load((plane.folder / "clouds.yaml").read_text())
    url = clouds["clouds"]["site"]["auth"]["auth_url"]
    auth = {"auth_url": url, "application_credential_id": id, "application_credential_secret": secret}
    entry = {"auth_type": "v3applicationcredential", "auth": auth, "region_name": "RegionOne"}
    file = folder / "clouds.yaml"
    file.write_text(yaml.safe_dump({"clouds": {"expiring": entry}}))
    return {"OS_CLIENT_CONFIG_FILE": str(file), "SECRET_OF_TEST": secret}


def test_an_application_credential_that_ends_in_the_middle(
    plane: Plane, network: Network, token: Path, tmp_path: Path
) -> None:
    """The servers cannot be deleted any more by who launched them: what to run is printed."""
    # A busy machine makes the first server after 40 s; one follows each 43 s.
    env = expiring(plane, tmp_path, 100)
    secret = env.pop("SECRET_OF_TEST")
    argv = argv_of(token, "--count", "8", "--spread", "5min", group="expiring", cloud="expiring")
    done = ended(popen(plane, network, *argv, env=env))
    print(done.err)
    assert done.status == 12 and "does not accept the credentials" in done.err
    assert secret not in done.err + done.out
    left = listed(plane, "--group", "expiring")
    assert 1 <= len(left) < 8
    [launch] = {one["launch"] for one in left.values()}
    assert f"fleet delete --launch {launch} --yes" in done.err
    again = plane.bakery("fleet", "list", "--cloud", "expiring", env=env)
    assert again.status == 12 and "have expired" in again.err and secret not in again.err
    argv = ("fleet", "delete", "--cloud", "site", "--launch", launch, "--yes", "--force", "--json")
    assert {one["name"] for one in of(plane.bakery(*argv))["servers"]} == set(left)
    assert server_groups(plane) == []


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
    assert "The states of workers are unknown" in shown.err and f"{GATEWAY}:9" in shown.err
    assert "unknown" in shown.out
    reap = (
        "fleet",
        "reap",
        "--cloud",
        "site",
        "--group",
        "silent",
        "--lost-after",
        "1s",
        "--json",
        "--yes",
    )
    assert of(plane.bakery(*reap))["servers"] == []
    deleted(plane, "silent")
