"""A real control plane of OpenStack: Keystone, Glance, Placement, Neutron, and Nova with its fake driver.

It stands on MariaDB and RabbitMQ, and is reached from its isolated network only, in which a pool may be,
too. Nova's fake driver has no machines: a server is ACTIVE at once, and stops when it is told to.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bakery.machines.network import Network
from bakery.runtime.conditions import Condition, wait
from provisioner.process import run
from tests.conftest import Ended, command
from tests.integration.control_plane import programs
from tests.integration.control_plane.configuration import (
    AUTH_URL,
    CINDER,
    FAULTY_NOVA,
    NOVA_URL,
    PASSWORD,
)

ROOT = Path(__file__).parent.parent.parent.parent
_WAIT = 900  # seconds
# Two projects with a user each, a network, flavors, and an image whose servers have no machine.
_ACCOUNTS = """
import openstack, sys
password, *projects = sys.argv[1:]
cloud = openstack.connect(cloud="admin")
for name in projects:
    project = cloud.identity.create_project(name=name, domain_id="default")
    user = cloud.identity.create_user(name=name, password=password, domain_id="default")
    cloud.identity.assign_project_role_to_user(project, user, cloud.identity.find_role("member"))
network = cloud.network.create_network(name="workers", shared=True)
cloud.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.64.0.0/16", enable_dhcp=False)
for name, cpus, ram, disk in (("m3.tiny", 1, 3072, 20), ("m3.small", 2, 6144, 20), ("tiny", 1, 512, 1),
                              ("for-no-host", 1, 2**30, 20)):
    cloud.compute.create_flavor(name=name, vcpus=cpus, ram=ram, disk=disk)
for name, kind in (("osg-debian13", "osg"), ("prominence-debian13", "prominence")):
    cloud.image.create_image(
        name=name, data=b"no disk", disk_format="raw", container_format="bare", visibility="public",
        min_disk=4, min_ram=1024, worker_bakery_kind=kind,
    )
"""
PROJECTS = ("site", "other")


@dataclass(frozen=True)
class Plane:
    """The running services; `folder` has clouds.yaml with the clouds admin, site and other."""

    folder: Path
    environment: Path
    network: Network

    @property
    def env(self) -> dict[str, str]:
        return {"OS_CLIENT_CONFIG_FILE": str(self.folder / "clouds.yaml")}

    def python(self, script: str, *argv: str) -> Any:
        """Run a script that has openstacksdk, as `connect(cloud)`; return the JSON that it prints."""
        start = "import json, sys, openstack\nconnect = lambda name: openstack.connect(cloud=name)\n"
        words = [str(self.environment / "bin/python"), "-", *argv]
        done = run.call(
            self.network.argv(words),
            stdin=(start + script).encode(),
            env=run.environment(**self.env),
            seconds=_WAIT,
        )
        return json.loads(done.stdout) if done.stdout.strip() else None

    def bakery(self, *argv: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Ended:
        """Run worker-bakery on the network of the services."""
        all_env = {**self.env, **(env or {})}
        return command("worker-bakery", *argv, env=all_env, prefix=self.network.argv([]), stdin=stdin)

    @contextmanager
    def faulty_nova(self, *faults: str) -> Iterator[Path]:
        """Run the proxy of the cloud `faulty`; the faults are those of faulty_nova.py. Yield its READY."""
        script = Path(__file__).parent / "faulty_nova.py"
        words = [sys.executable, str(script), FAULTY_NOVA, NOVA_URL, *faults]
        log = self.folder / "log" / "faulty-nova.out"
        ready = log.with_suffix(".ready")
        for old in (ready, ready.with_suffix(".paused"), ready.with_suffix(".resume")):
            old.unlink(missing_ok=True)
        argv = self.network.argv([*words, str(ready)])
        with run.background(argv, log=log):
            wait(Condition("the proxy listens", ready.exists, 60))
            yield ready

    @contextmanager
    def metadata(self, server: str) -> Iterator[None]:
        """Serve Nova's metadata of a server at 169.254.169.254, as Neutron's metadata agent does."""
        script, ready = Path(__file__).parent / "metadata_agent.py", self.folder / "log" / f"{server}.ready"
        ready.unlink(missing_ok=True)
        project = self.python('print(json.dumps(connect("site").current_project_id))')
        words = [sys.executable, str(script), server, project, str(self.folder / "nova.conf"), str(ready)]
        with run.background(self.network.argv(words), log=self.folder / "log" / "metadata-agent.out"):
            wait(Condition("the metadata agent listens", ready.exists, 60))
            yield

    def logs(self) -> str:
        """The last lines of the logs of the services."""
        parts = []
        for path in sorted((self.folder / "log").glob("*")):
            rows = path.read_text("utf-8", "replace").splitlines()[-15:]
            parts.append("\n".join([f"--- {path.name}", *rows]))
        return "\n".join(parts)


@contextmanager
def running(folder: Path, network: Network) -> Iterator[Plane]:
    """Start the services on the network, and end them afterwards."""
    environment, debian = programs.python(), programs.debian()
    _write_clouds(folder)
    plane = Plane(folder, environment, network)
    module = [sys.executable, "-m", "tests.integration.control_plane.supervisor"]
    argv = run.sandbox_argv([*module, str(folder), str(environment), str(debian)])
    env = run.environment(PYTHONPATH=str(ROOT), **plane.env)
    log = folder / "supervisor.log"
    with run.background(network.argv(argv), log=log, env=env, cwd=ROOT) as sandbox:

        def ended() -> str:
            return log.read_text("utf-8", "replace")[-3000:] if sandbox.poll() is not None else ""

        condition = Condition("the control plane is up", (folder / "up").exists, _WAIT)
        wait(condition, end_reason=ended)
        plane.python(_ACCOUNTS, PASSWORD, *PROJECTS)
        yield plane


def _write_clouds(folder: Path) -> None:
    def entry(user: str, project: str) -> dict[str, Any]:
        domains = {"user_domain_name": "Default", "project_domain_name": "Default"}
        auth = {"auth_url": AUTH_URL, "username": user, "password": PASSWORD, "project_name": project}
        return {"auth": {**auth, **domains}, "region_name": "RegionOne"}

    clouds = {"admin": entry("admin", "admin"), **{name: entry(name, name) for name in PROJECTS}}
    clouds["expired"] = entry("site", "site")
    clouds["expired"]["auth"]["password"] = "canary-of-a-wrong-password"
    # Nova behind faulty_nova.py.
    clouds["faulty"] = {**entry("site", "site"), "compute_endpoint_override": FAULTY_NOVA}
    clouds["volumes"] = {**clouds["faulty"], "block_storage_endpoint_override": CINDER}
    (folder / "clouds.yaml").write_text(yaml.safe_dump({"clouds": clouds}))
