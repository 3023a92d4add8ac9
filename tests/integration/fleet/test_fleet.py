"""`worker-bakery fleet` on a real control plane, beside a real collector.

Nova's fake driver has no machines: the slots of workers are advertised by condor_advertise, with the ids
of the servers, as workers publish them.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.network import GATEWAY, Network
from bakery.runtime.conditions import wait_until
from bakery.verify.pool.throwaway_pool import Pool
from provisioner.errors import NotProven
from tests.conftest import BIN, Ended
from tests.integration.control_plane import plane as planes
from tests.integration.control_plane.plane import Plane
from tests.integration.pool.test_status_command import Value, advertise, claimed, slot

# The control plane takes a minute to start, and minutes to install where it is not cached.
pytestmark = pytest.mark.full
GROUP = "My Test Workers, é"
IMAGE = ("--image", "osg-debian13", "--flavor", "m3.tiny")
RATES = """
unit = "EUR"
[flavors]
"m3.tiny" = 0.5
[states]
shutoff = 0.5
"""


@pytest.fixture
def rates(tmp_path: Path) -> Path:
    file = tmp_path / "rates.toml"
    file.write_text(RATES)
    return file


def argv_of(token: Path, *more: str, group: str = GROUP, cloud: str = "site") -> tuple[str, ...]:
    asked = ("--token-file", str(token), "--project", "TG-ABC123", "--pool", GATEWAY, "--group-name", group)
    return ("fleet", "launch", "--cloud", cloud, *IMAGE, *asked, *more)


def of(done: Ended, status: int = 0) -> dict[str, Any]:
    assert done.status == status, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def listed(plane: Plane, *more: str) -> dict[str, dict[str, Any]]:
    done = of(plane.bakery("fleet", "list", "--cloud", "site", "--json", *more))
    return {one["name"]: one for one in done["servers"]}


def servers(plane: Plane, cloud: str = "site") -> dict[str, dict[str, Any]]:
    """All servers of a project, ours or not, by name."""
    script = """
names = ("id", "status", "metadata")
found = connect(sys.argv[1]).compute.servers(details=True)
print(json.dumps({one.name: {name: one[name] for name in names} for one in found}))
"""
    found: dict[str, dict[str, Any]] = plane.python(script, cloud)
    return found


def test_twenty_workers_are_launched_listed_and_reaped(
    plane: Plane, pool: Pool, network: Network, token: Path, rates: Path
) -> None:
    secret = token.read_text().strip()
    foreign = foreign_servers(plane)
    made = of(plane.bakery(*argv_of(token, "--count", "20", "--rates", str(rates), "--json")))
    assert (len(made["servers"]), made["per_hour"], made["unit"]) == (20, 10.0, "EUR")
    assert secret not in json.dumps(made) + json.dumps(servers(plane))
    _is_as_asked(plane, made, secret)

    names = [one["name"] for one in made["servers"]]
    ids = {one["name"]: one["id"] for one in made["servers"]}
    worker = {"WorkerGroupName": GROUP}
    slots: list[dict[str, Value]] = [
        slot(f"{name}.novalocal", CloudInstanceID=ids[name], **worker) for name in names[:6]
    ]
    slots += [claimed(f"{names[5]}.novalocal", 1, CloudInstanceID=ids[names[5]], **worker)]
    advertise(pool, network, "twenty", slots)
    stop_and_break(plane, [ids[names[18]], ids[names[19]]], ids[names[17]])

    rows = listed(plane, "--rates", str(rates))
    states = {name: row["state"] for name, row in rows.items()}
    assert states == {
        **dict.fromkeys(names[:5], "idle"), names[5]: "busy", **dict.fromkeys(names[6:17], "booting"),
        names[17]: "error", **dict.fromkeys(names[18:], "shut off"),
    }  # fmt: skip
    assert all(0 < row["cost"] < 0.5 for row in rows.values())
    table = plane.bakery("fleet", "list", "--cloud", "site")
    assert table.status == 0 and "2 shut off" in table.out and "fleet reap --cloud site" in table.out

    reap = ("fleet", "reap", "--cloud", "site", "--json")
    shown = of(plane.bakery(*reap))
    assert {one["name"] for one in shown["servers"] if one["delete"]} == set(names[17:])
    assert set(servers(plane)) == {*names, *foreign}  # nothing was deleted
    both = [popen(plane, network, *reap, "--yes") for _ in range(2)]
    results = [of(ended(one)) for one in both]
    assert {one["name"] for found in results for one in found["servers"]} == set(names[17:])
    assert set(servers(plane)) == {*names[:17], *foreign}
    assert of(plane.bakery(*reap, "--yes"))["servers"] == []

    delete = ("fleet", "delete", "--cloud", "site", "--group", GROUP, "--yes", "--json")
    kept = {one["name"]: one["reason"] for one in of(plane.bakery(*delete))["servers"] if not one["delete"]}
    assert "a job runs on it" in kept[names[5]]
    # This pool has just started, and may not know all workers yet.
    assert set(kept) == set(names[5:17]) and "the pool does not know" in kept[names[6]]
    assert set(servers(plane)) == {*names[5:17], *foreign}
    assert len(of(plane.bakery(*delete, "--force"))["servers"]) == 12
    assert set(servers(plane)) == foreign
    assert server_groups(plane) == []


def _is_as_asked(plane: Plane, made: dict[str, Any], secret: str) -> None:
    """What Nova and Neutron have of the servers, by an administrator's eyes."""
    script = """
cloud = connect("admin")
found = [one.to_dict() for one in cloud.compute.servers(all_projects=True) if one.name in sys.argv[1:]]
all_groups = cloud.compute.get("/os-server-groups?all_projects=1").json()["server_groups"]
launch = sys.argv[-1]
groups = [len(one["members"]) for one in all_groups if launch in one["name"]]
rules = [
    rule["direction"] for one in cloud.network.security_groups(name="worker-bakery")
    for rule in one.security_group_rules
]
print(json.dumps({
    "user_data": [one["user_data"] for one in found], "metadata": [one["metadata"] for one in found],
    "security": [one["security_groups"] for one in found], "groups": sorted(groups), "rules": rules,
}))
"""
    found = plane.python(script, *(one["name"] for one in made["servers"]), made["launch"])
    assert len(found["user_data"]) == 20
    for text in found["user_data"]:
        assert f"Token = {secret}" in base64.b64decode(text).decode()
    assert all(one["worker_bakery_launch"] == made["launch"] for one in found["metadata"])
    assert all(one == [{"name": "worker-bakery"}] for one in found["security"])
    assert found["groups"] == [10, 10]  # Nova permits ten servers in a group
    assert set(found["rules"]) == {"egress"}


def foreign_servers(plane: Plane) -> set[str]:
    """Servers that are not ours: without marks, with the tag alone, with the metadata alone."""
    script = """
cloud = connect("site")
image, flavor = cloud.image.find_image("osg-debian13"), cloud.compute.find_flavor("m3.tiny")
network = cloud.network.find_network("workers")
marks = {"worker_bakery_launch": "0123456789ab", "worker_bakery_group": "g", "worker_bakery_pool": "p",
         "worker_bakery_join": "900", "worker_bakery_lifetime": "0"}
kinds = {"precious": {}, "tagged": {"tags": ["worker-bakery", "worker-bakery-0123456789ab"]},
         "described": {"metadata": marks}}
for name, more in kinds.items():
    about = {"name": name, "imageRef": image.id, "flavorRef": flavor.id}
    body = {**about, "networks": [{"uuid": network.id}], **more}
    one = cloud.compute.post("/servers", json={"server": body}, microversion="2.52").json()["server"]
    cloud.compute.wait_for_server(cloud.compute.get_server(one["id"]))
    cloud.compute.stop_server(one["id"])
    cloud.compute.wait_for_server(cloud.compute.get_server(one["id"]), status="SHUTOFF")
print(json.dumps(sorted(kinds)))
"""
    return set(plane.python(script))


def stop_and_break(plane: Plane, stopped: list[str], broken: str) -> None:
    """Before the ERROR it is stopped: while it runs, the pool must know first that no job does on it."""
    script = """
cloud, (broken, *stopped) = connect("admin").compute, sys.argv[1:]
for id in (broken, *stopped):
    cloud.stop_server(id)
    cloud.wait_for_server(cloud.get_server(id), status="SHUTOFF")
cloud.reset_server_state(broken, "error")
"""
    plane.python(script, broken, *stopped)


def server_groups(plane: Plane) -> list[str]:
    script = "print(json.dumps([one.name for one in connect('site').compute.server_groups()]))"
    found: list[str] = plane.python(script)
    return found


def popen(
    plane: Plane, network: Network, *argv: str, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        network.argv([str(BIN / "worker-bakery"), *argv]),
        env={**os.environ, **plane.env, **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> Ended:
    out, err = process.communicate(timeout=600)
    return Ended(process.returncode, out, err)


def test_what_a_killed_launch_has_left_is_found_and_deleted(
    plane: Plane, network: Network, token: Path
) -> None:
    launch = popen(plane, network, *argv_of(token, "--count", "30", group="killed"))

    def some() -> int:
        if launch.poll() is not None:
            raise NotProven(f"the launch has ended: {launch.communicate()}")
        return sum(one["group"] == "killed" for one in listed(plane).values())

    wait_until("the first servers are there", some, lambda number: number >= 3)
    os.kill(launch.pid, signal.SIGKILL)
    launch.communicate()
    found = {name: one for name, one in listed(plane).items() if one["group"] == "killed"}
    assert 3 <= len(found) < 30
    assert {name for name in servers(plane) if name.startswith("killed-")} == set(found)
    [id] = {one["launch"] for one in found.values()}
    done = of(
        plane.bakery("fleet", "delete", "--cloud", "site", "--launch", id, "--yes", "--json", "--force")
    )
    assert {one["name"] for one in done["servers"]} == set(found)
    assert not [name for name in servers(plane) if name.startswith("killed-")]
    assert server_groups(plane) == []


def set_quota(plane: Plane, project: str, instances: int) -> None:
    script = """
cloud = connect("admin")
project = cloud.identity.find_project(sys.argv[1]).id
body = {"quota_set": {"instances": int(sys.argv[2]), "force": True}}
cloud.compute.put(f"/os-quota-sets/{project}", json=body, microversion="2.52").raise_for_status()
"""
    plane.python(script, project, str(instances))


def test_a_quota_is_checked_before_anything_is_made(plane: Plane, token: Path) -> None:
    set_quota(plane, "other", 6)
    refused = plane.bakery(*argv_of(token, "--count", "20", cloud="other"))
    assert refused.status == 12 and "20 servers are requested, 6 are left" in refused.err
    assert "--count 6" in refused.err and servers(plane, "other") == {}


def test_no_secret_is_shown_even_with_debug_logging(
    plane: Plane, network: Network, token: Path, tmp_path: Path
) -> None:
    """argv, output, the files that were written, and openstacksdk's own log."""
    secret = token.read_text().strip()
    script = tmp_path / "debug.py"
    script.write_text(
        "import logging, sys\nlogging.basicConfig(level=logging.DEBUG)\n"
        "from bakery.commands.main import main\nsys.exit(main())\n"
    )
    argv = argv_of(token, "--count", "1", "--verbose", group="secret")
    done = subprocess.run(
        network.argv([str(BIN / "python"), str(script), *argv]),
        env={**os.environ, **plane.env}, capture_output=True, text=True, check=False, cwd=planes.ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "DEBUG:urllib3" in done.stderr and "POST /v2.1/servers " in done.stderr  # it did log
    encoded = base64.b64encode(f"Token = {secret}".encode()).decode()
    said = done.stdout + done.stderr
    assert secret not in said and encoded[8:40] not in said and "canary" not in said
    # Of the three offsets at which the token can stand in base64.
    for shift in range(3):
        part = base64.b64encode(b"x" * shift + secret.encode()).decode()[8:60]
        assert part not in said
    left = plane.bakery("fleet", "delete", "--cloud", "site", "--group", "secret", "--yes", "--force")
    assert left.status == 0, left.err


def test_an_image_for_other_workers_and_wrong_credentials_are_refused(plane: Plane, token: Path) -> None:
    argv = [*argv_of(token, "--count", "1")]
    argv[argv.index("osg-debian13")] = "prominence-debian13"
    wrong = plane.bakery(*argv)
    assert wrong.status == 2 and "is for prominence workers" in wrong.err
    argv[argv.index("prominence-debian13")] = "osg-debian31"
    missing = plane.bakery(*argv)
    assert missing.status == 2 and "Did you mean osg-debian13?" in missing.err
    small = plane.bakery(*[*argv_of(token, "--count", "1"), "--flavor", "tiny"])
    assert small.status == 2 and "has a disk of 1 GiB" in small.err
    expired = plane.bakery("fleet", "list", "--cloud", "expired")
    assert expired.status == 12 and "canary" not in expired.err
    assert not [name for name in servers(plane) if name.startswith("my-test-workers")]


def test_errors_in_the_middle_neither_lose_nor_double_a_server(plane: Plane, token: Path) -> None:
    """Two answers are lost of servers that were made, and one request is refused for a moment."""
    with plane.faulty_nova("2:500", "4:drop", "6:429"):
        argv = argv_of(token, "--count", "6", "--json", group="faults", cloud="faulty")
        made = of(plane.bakery(*argv))
    names = [name for name in servers(plane) if name.startswith("faults-")]
    assert sorted(names) == sorted(one["name"] for one in made["servers"]) and len(names) == 6
    assert len({one["id"] for one in made["servers"]}) == 6
    with plane.faulty_nova("1:500", "2:drop", "3:429"):  # deleting is not disturbed by these
        scale = ("fleet", "scale", "--cloud", "faulty", "--group-name", "faults", "--json", "--yes")
        shown = of(plane.bakery(*scale, "--to", "4", "--force", "--anyone", "--pool", GATEWAY))
        assert len(shown["servers"]) == 2
    assert len([name for name in servers(plane) if name.startswith("faults-")]) == 4
    of(
        plane.bakery(
            "fleet", "delete", "--cloud", "site", "--group", "faults", "--yes", "--force", "--json"
        )
    )


def test_a_quota_that_ends_in_the_middle(plane: Plane, network: Network, token: Path) -> None:
    """Nothing is left; with --keep-partial, what was made is."""
    for more, left in (((), 0), (("--keep-partial",), 7)):
        set_quota(plane, "other", 20)
        argv = argv_of(token, "--count", "12", "--spread", "60s", *more, "--json", cloud="other")
        launch = popen(plane, network, *argv)
        wait_until("the first server is there", lambda: servers(plane, "other"))
        set_quota(plane, "other", 7)
        done = ended(launch)
        assert done.status == 12, done.err
        assert "refused server 8 of 12" in done.err and "Quota exceeded" in done.err
        assert len(servers(plane, "other")) == left
        assert len(json.loads(done.out)["servers"]) == left
    assert "maxTotalInstances" not in done.err
    argv = argv_of(token, "--count", "1", cloud="other")
    refused = plane.bakery(*argv)
    assert refused.status == 12 and "1 servers are requested, 0 are left" in refused.err
    of(plane.bakery("fleet", "delete", "--cloud", "other", "--group", GROUP, "--yes", "--force", "--json"))


def test_a_fleet_is_scaled(plane: Plane, pool: Pool, network: Network, token: Path) -> None:
    scale = ("fleet", "scale", "--cloud", "site", "--group-name", "scaled", "--json")
    more = (*IMAGE, "--token-file", str(token), "--anyone", "--pool", GATEWAY)
    of(plane.bakery(*scale, "--to", "4", *more))
    assert listed(plane, "--group", "scaled") == {}  # without --yes
    of(plane.bakery(*scale, "--to", "4", "--yes", *more))
    found = listed(plane, "--group", "scaled")
    assert len(found) == 4
    names = sorted(found)
    slots = [
        slot(names[0], WorkerGroupName="scaled"),
        claimed(names[0], 1, WorkerGroupName="scaled"),
        slot(names[1], WorkerGroupName="scaled"),
    ]
    advertise(pool, network, "scaled", slots)
    wait_until(
        "the pool knows both",
        lambda: sorted(one["state"] for one in listed(plane, "--group", "scaled").values()),
        lambda states: states == ["booting", "booting", "busy", "idle"],
    )
    none = plane.bakery(*scale, "--to", "6", "--yes")
    assert none.status == 2 and "--image" in none.err
    refused = plane.bakery(*scale, "--to", "1", "--yes")
    # The pool has just started: jobs may run on the servers whose workers it does not know.
    assert refused.status == 1 and "2 servers more than --to 1 stay" in refused.err
    left = [one["state"] for one in listed(plane, "--group", "scaled").values()]
    assert sorted(left) == ["booting", "booting", "busy"]
    of(plane.bakery(*scale, "--to", "1", "--yes", "--force"))
    assert [one["state"] for one in listed(plane, "--group", "scaled").values()] == ["busy"]
    last = ("fleet", "delete", "--cloud", "site", "--group", "scaled", "--yes", "--force", "--json")
    of(plane.bakery(*last))


def test_a_thousand_servers_are_listed_and_reaped(plane: Plane, network: Network) -> None:
    """In ERROR, for there is no host for their flavor; made with our marks by four requests."""
    script = """
cloud = connect("site")
image, flavor = cloud.image.find_image("osg-debian13"), cloud.compute.find_flavor("for-no-host")
network = cloud.network.find_network("workers")
about = {"name": "many", "imageRef": image.id, "flavorRef": flavor.id, "networks": [{"uuid": network.id}]}
launch = "00000000cafe"
marks = {"launch": launch, "group": "many", "pool": "10.0.2.2", "join": "900", "lifetime": "0"}
metadata = {f"worker_bakery_{key}": value for key, value in marks.items()}
more = {"metadata": metadata, "tags": ["worker-bakery", f"worker-bakery-{launch}"]}
for _ in range(4):
    body = {"server": {**about, **more, "min_count": 250, "max_count": 250}}
    cloud.compute.post("/servers", json=body, microversion="2.52").raise_for_status()
"""
    plane.python(script)

    def states() -> dict[str, int]:
        done = of(plane.bakery("fleet", "list", "--cloud", "site", "--group", "many", "--json"))
        found: dict[str, int] = done["states"]
        return found

    wait_until("all are in ERROR", states, lambda found: found == {"error": 1000}, seconds=600)
    showed = measured(plane, network, "fleet", "list", "--cloud", "site", "--group", "many", "--json")
    reaped = measured(
        plane, network, "fleet", "reap", "--cloud", "site", "--group", "many", "--yes", "--json"
    )
    print(f"\nlist: {showed[1:]}; reap: {reaped[1:]} (seconds, MiB)")
    assert len(json.loads(showed[0])["servers"]) == 1000
    verdicts = json.loads(reaped[0])["servers"]
    assert len(verdicts) == 1000 and all(one["delete"] and not one["left"] for one in verdicts)
    assert not [name for name in servers(plane) if name.startswith("many")]
    assert showed[2] < 300 and reaped[2] < 300


def measured(plane: Plane, network: Network, *argv: str) -> tuple[str, float, float]:
    """What a command prints, its seconds, and its peak memory in MiB."""
    started = time.monotonic()
    with popen(plane, network, *argv) as process:
        assert process.stdout
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return out, round(time.monotonic() - started, 1), round(usage.ru_maxrss / 1024, 1)
