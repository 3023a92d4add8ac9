"""`fleet launch --worker prominence` on a real control plane, beside a real collector.

Nova's fake driver has no machines: the slots of workers are advertised by condor_advertise.
"""

from __future__ import annotations

import base64
import shlex
from pathlib import Path

import pytest

from bakery.machines.network import GATEWAY, Network
from bakery.runtime.conditions import wait_until
from bakery.verify.pool.throwaway_pool import Pool
from tests.integration.control_plane.plane import Plane
from tests.integration.fleet.test_fleet import listed, of
from tests.integration.pool.test_status_command import advertise, slot

pytestmark = pytest.mark.full  # as test_fleet.py
GROUP = "my group"


def asked(token: Path, *more: str) -> tuple[str, ...]:
    hardware = ("--image", "prominence-debian13", "--flavor", "m3.tiny", "--count", "2")
    worker = (
        "--worker",
        "prominence",
        "--token-file",
        str(token),
        "--pool",
        GATEWAY,
        "--node-group",
        GROUP,
    )
    return ("fleet", "launch", "--cloud", "site", *hardware, *worker, *more)


def test_workers_of_prominence_are_launched_and_found(
    plane: Plane, pool: Pool, network: Network, token: Path
) -> None:
    made = of(plane.bakery(*asked(token, "--idle-timeout", "600", "--json")))
    assert (made["group"], made["count"]) == (GROUP, 2)
    script = """
found = [one.to_dict() for one in connect("admin").compute.servers(all_projects=True) if one.id in sys.argv]
print(json.dumps([one["user_data"] for one in found]))
"""
    texts = plane.python(script, *(one["id"] for one in made["servers"]))
    assert len(texts) == 2
    for text in map(base64.b64decode, texts):
        assert f"PROMINENCE_WORKER_TOKEN={token.read_text().strip()}".encode() in text.replace(b"'", b"")
        for line in (
            "PROMINENCE_CLOUD=site",
            "PROMINENCE_REGION=RegionOne",
            f"PROMINENCE_NODE_GROUP={GROUP}",
        ):
            assert line.encode() in text.replace(b"'", b"").replace(b'"', b""), line

    here = {"ProminenceCloud": "site", "ProminenceRegion": "RegionOne", "ProminenceNodeGroup": GROUP}
    first, second = made["servers"]
    slots = [
        slot(f"{first['name']}.novalocal", CloudInstanceID=first["id"], **here),
        # Of the same name, and not in this group.
        slot(f"{second['name']}.novalocal", **{**here, "ProminenceRegion": "elsewhere"}),
    ]
    advertise(pool, network, "prominence", slots)

    def states() -> dict[str, str]:
        return {name: one["state"] for name, one in listed(plane, "--group", GROUP).items()}

    wait_until("the pool knows the worker", states, lambda found: found[first["name"]] == "idle")
    assert states() == {first["name"]: "idle", second["name"]: "booting"}
    [watch] = [command for command in made["commands"] if " status " in command]
    words = [word for word in shlex.split(watch)[1:] if word != "--watch"]
    assert [one["name"] for one in of(plane.bakery(*words, "--json"))["workers"]] == [
        f"{first['name']}.novalocal"
    ]

    scale = ("fleet", "scale", "--cloud", "site", "--group-name", GROUP, "--to", "3", "--yes")
    refused = plane.bakery(*scale, "--image", "osg-debian13", "--flavor", "m3.tiny", "--anyone")
    assert refused.status == 2 and "workers of PROMINENCE" in refused.err
    of(plane.bakery("fleet", "delete", "--cloud", "site", "--group", GROUP, "--yes", "--force", "--json"))
    assert listed(plane, "--group", GROUP) == {}


def test_an_image_for_other_workers_is_refused(plane: Plane, token: Path) -> None:
    argv = [*asked(token)]
    argv[argv.index("prominence-debian13")] = "osg-debian13"
    wrong = plane.bakery(*argv)
    assert wrong.status == 2 and "is for osg workers, not prominence" in wrong.err
