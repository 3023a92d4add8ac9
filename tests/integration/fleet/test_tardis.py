"""COBalD/TARDIS with the configuration of `fleet export tardis`: a real control plane beside a real pool.

Nova's fake driver has no machines: for each server that TARDIS launches, a machine of the image boots in
namespaces, with the user-data and the metadata that Nova has of the server, as a config drive.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from bakery.machines import namespace
from bakery.machines.layer import layer
from bakery.machines.machine import Machine
from bakery.machines.network import GATEWAY, Network
from bakery.runtime.conditions import Condition, wait
from bakery.verify.pool.throwaway_pool import Pool
from provisioner.process import run
from tests.integration.control_plane.plane import Plane
from tests.integration.tool_environments import environment

pytestmark = pytest.mark.full
GROUP = "Drones of mine"
# Its client of OpenStack uses async-timeout in a way that 5.0 has dropped.
_PACKAGES = ("cobald-tardis==0.9.*", "async-timeout<5")
_LIMIT = 240  # seconds
# What Nova has of the servers, for the machines that stand for them: what its metadata service would say.
_SERVERS = """
found = connect("admin").compute.servers(all_projects=True)
names = ("id", "name", "status", "user_data", "metadata", "security_groups")
print(json.dumps([{name: one[name] for name in names} for one in found]))
"""


def exported(plane: Plane, pool: Pool, folder: Path) -> str:
    """Export the configuration; return the name of the site."""
    token = folder.parent / "token"
    token.write_text(pool.worker_token())
    token.chmod(0o600)
    its = ("--image", "osg-debian13", "--flavor", "m3.small", "--count", "2", "--group-name", GROUP)
    jobs = ("--token-file", str(token), "--project", "TG-ABC123", "--pool", GATEWAY, "--idle-minutes", "60")
    done = plane.bakery("fleet", "export", "tardis", "--cloud", "site", *its, *jobs, "-o", str(folder))
    assert done.status == 0 and pool.worker_token()[:40] not in done.out + done.err, done.err
    assert "python3 -m cobald.daemon" in done.err
    assert not (folder / "tardis.yaml").stat().st_mode & 0o077
    site: str = yaml.safe_load((folder / "tardis.yaml").read_text())["Sites"][0]["name"]
    return site


def shorten(folder: Path) -> None:
    """Have TARDIS look more often than each minute; nothing else is changed."""
    file = folder / "tardis.yaml"
    settings = yaml.safe_load(file.read_text())
    settings["Sites"][0]["drone_heartbeat_interval"] = 3
    settings["BatchSystem"]["max_age"] = 0.05
    file.write_text(yaml.safe_dump(settings))


@contextmanager
def cobald(plane: Plane, pool: Pool, folder: Path) -> Iterator[Path]:
    """Run COBalD, with HTCondor's tools of the pool's access point; yield its log."""
    python = environment("cobald-tardis", _PACKAGES) / "bin/python"
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("condor_status", "condor_drain"):
        (tools / name).write_text(f'#!/bin/sh\nexec chroot {pool.root} {name} "$@"\n')
        (tools / name).chmod(0o755)
    log = folder / f"cobald-{len(list(folder.glob('cobald-*.log')))}.log"
    env = run.environment(PATH=f"{tools}:{os.environ['PATH']}")
    argv = [str(python), "-m", "cobald.daemon", "--log-level", "INFO", str(folder / "cobald.yaml")]
    with run.background(plane.network.argv(argv), log=log, env=env, cwd=folder):
        yield log


def drones(folder: Path) -> dict[str, str]:
    """The states of the drones in TARDIS' registry, by UUID."""
    query = (
        "select Resources.drone_uuid, ResourceStates.state from Resources "
        "join ResourceStates on Resources.state_id = ResourceStates.state_id"
    )
    with suppress(sqlite3.OperationalError):  # TARDIS writes just now
        database = sqlite3.connect(f"file:{folder}/drones.db?mode=ro", uri=True)
        with closing(database):
            return dict(database.execute(query).fetchall())
    return {}


def until(what: str, query: Any, log: Path, seconds: float = _LIMIT) -> Any:
    """Wait; an error has the end of TARDIS' log."""
    try:
        return wait(Condition(what, query, seconds), interval=2)
    except Exception as error:  # an error of the query, too: the log says why
        raise AssertionError(f"{error}\n{log.read_text('utf-8', 'replace')[-6000:]}") from error


@contextmanager
def machine_of(server: dict[str, Any], image_root: Path, work: Path, network: Network) -> Iterator[Machine]:
    """Boot the machine of a server: its name, metadata and user-data come from Nova."""
    work.mkdir()
    with layer(image_root, work) as root:
        drive = root / "var/lib/cloud/seed/config_drive/openstack/latest"
        drive.mkdir(parents=True)
        about = {"uuid": server["id"], "name": server["name"], "hostname": f"{server['name']}.novalocal"}
        (drive / "meta_data.json").write_text(json.dumps({**about, "meta": server["metadata"]}))
        (drive / "user_data").write_bytes(base64.b64decode(server["user_data"]))
        with namespace.boot(
            root, console=work / namespace.CONSOLE, hostname=server["name"], network=network,
            arguments=["ds=configdrive"],
        ) as machine:  # fmt: skip
            yield machine


def test_tardis_launches_drones_for_jobs_and_drains_and_deletes_them(
    plane: Plane, pool: Pool, network: Network, image_root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "fleet"
    site = exported(plane, pool, folder)
    shorten(folder)
    with ExitStack() as machines:
        booted: dict[str, Machine] = {}

        def servers() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = plane.python(_SERVERS)
            return found

        def boot_new(log: Path) -> None:
            for server in servers():
                if server["name"] not in booted and server["status"] == "ACTIVE":
                    work = tmp_path / server["name"]
                    booted[server["name"]] = machines.enter_context(
                        machine_of(server, image_root, work, network)
                    )

        with cobald(plane, pool, folder) as log:
            until("TARDIS has launched a server", servers, log)
            [server] = servers()
            assert server["name"].startswith(f"{site}-")
            assert server["security_groups"] == [{"name": "worker-bakery"}]
            boot_new(log)
            until("the drone is in the pool", lambda: pool.status(GROUP), log)
            uuids = pool.slot_attributes(GROUP, "TardisDroneUuid", "CloudInstanceID")
            assert uuids == [f'"{server["name"]}" "{server["id"]}"']
            until("TARDIS knows it", lambda: drones(folder) == {server["name"]: "AvailableState"}, log)

            more = {"request_cpus": pool.slot_attributes(GROUP, "TotalSlotCpus")[0]}
            job = pool.submit("drone", "TG-ABC123", "#!/bin/sh\nsleep 100000\n", more)
            until("a busy drone is a reason for another one", lambda: len(servers()) == 2, log)
            boot_new(log)
            until(
                "TARDIS knows both",
                lambda: sorted(drones(folder).values()) == ["AvailableState"] * 2,
                log,
            )
            pool.remove(job)

        # Started again, and with no least number of drones, TARDIS knows its drones and gives them back.
        file = folder / "cobald.yaml"
        file.write_text(file.read_text().replace("minimum: 2", "minimum: 0"))
        with cobald(plane, pool, folder) as log:
            until("a drone drains", lambda: "Draining" in log.read_text("utf-8", "replace"), log)
            until("TARDIS has deleted its servers", lambda: not servers(), log)
            assert "Draining failed" not in log.read_text("utf-8", "replace")
