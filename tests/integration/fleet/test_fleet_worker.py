"""The life of a server of a fleet, from its launch to its deletion, with a real worker.

Nova's fake driver has no machines. QEMU boots our image as the server: with its hardware address and the
product name of Nova's virtual machines, so that cloud-init finds Nova's own metadata service, behind the
agent that Neutron would have. When the machine has powered off, Nova is told by its API, as its driver
cannot see that.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakery.machines import vm
from bakery.machines.accelerator import TCG
from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import Network
from bakery.machines.vm import Login, Settings, VirtualMachine
from bakery.runtime.conditions import wait_until
from bakery.tokens import signing
from bakery.verify.pool.throwaway_pool import COMPLETED, IDENTITY, KEY, TRUST_DOMAIN, Pool
from provisioner.process import run
from tests.boot.life import submitted
from tests.conftest import BASE
from tests.integration.control_plane.plane import Plane
from tests.integration.fleet.test_fleet import argv_of, ended, listed, of, popen, servers

pytestmark = pytest.mark.full  # as test_fleet.py; a machine boots by software emulation
GROUP, PROJECT = "alive", "TG-ABC123"
PRODUCT = "type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova"
BOOT = 900  # seconds until an emulated machine is in the pool
END = 900  # seconds until it has powered off


@dataclass(frozen=True)
class Port:
    """The port of a server in Neutron: its hardware and its IPv4 address."""

    mac: str
    address: str


@pytest.fixture
def image(baked: dict[str, Any], image_root: Path) -> Image:
    return Image(Path(baked["path"]), image_root, BASE.login)


def port_of(plane: Plane, server: str) -> Port:
    script = """
[port] = connect("site").network.ports(device_id=sys.argv[1])
print(json.dumps([port.mac_address, port.fixed_ips[0]["ip_address"]]))
"""
    return Port(*plane.python(script, server))


def stopped(plane: Plane, server: str) -> None:
    script = """
cloud = connect("site").compute
cloud.stop_server(sys.argv[1])
cloud.wait_for_server(cloud.get_server(sys.argv[1]), status="SHUTOFF")
"""
    plane.python(script, server)


@contextmanager
def powered_on(image: Image, port: Port, network: Network, work: Path) -> Iterator[VirtualMachine]:
    """QEMU as the server: no seed, and the addresses that Nova's metadata has. Nobody can log in."""
    settings = Settings(
        image.path, work / "no-seed", Login("nobody", work / "no-key"), TCG, network=network
    )
    vm.new_disk(settings, work)
    console, ssh = work / vm.SERIAL, vm.free_port()
    console.touch()
    argv = vm.command(settings, work / vm.DISK, console, ssh, ())
    seed = next(place for place, word in enumerate(argv) if word.startswith(f"file={settings.seed}"))
    del argv[seed - 1 : seed + 1]
    at = argv.index("-nic") + 1
    argv[at] += f",mac={port.mac},net=10.64.0.0/16,host=10.64.0.1,dhcpstart={port.address}"
    argv += ["-smbios", PRODUCT]
    with run.background(network.argv(argv), log=work / vm.QEMU_LOG) as process:
        yield VirtualMachine(console, process, settings, ssh, time.monotonic())


def test_a_server_joins_works_shuts_down_and_is_reaped(
    plane: Plane, pool: Pool, network: Network, token: Path, image: Image, tmp_path: Path
) -> None:
    more = ("--count", "1", "--wait", "15min", "--idle-minutes", "1", "--json")
    launch = popen(plane, network, *argv_of(token, *more, group=GROUP))
    try:
        [(name, server)] = wait_until(
            "the server is there",
            lambda: [(one["name"], one["id"]) for one in listed(plane, "--group", GROUP).values()],
        )
        port = port_of(plane, server)
        with (
            submitted(pool, "alive-job", PROJECT, "#!/bin/sh\nhostname\n") as job,
            plane.metadata(server),
            powered_on(image, port, network, tmp_path) as machine,
        ):
            wait_until("it joins", lambda: pool.status(GROUP) or machine.end_reason(), seconds=BOOT)
            assert machine.is_on(), machine.console_text()[-3000:]
            made = of(ended(launch))
            assert [one["id"] for one in made["servers"]] == [server]
            about = pool.slot_attributes(GROUP, "CloudInstanceID", "CloudPlatform")
            assert set(about) == {f'"{server}" "openstack"'}, about
            state = wait_until(
                "the job ends",
                lambda: pool.job_attributes(job, "JobStatus")[0],
                lambda it: it == COMPLETED,
                300,
            )
            assert state == COMPLETED and pool.output("alive-job").startswith(name)
            assert listed(plane, "--group", GROUP)[name]["state"] in ("idle", "busy")
            assert machine.powers_off_within(END), machine.console_text()[-3000:]
        stopped(plane, server)
        assert listed(plane, "--group", GROUP)[name]["state"] == "shut off"
        assert of(plane.bakery("fleet", "reap", "--cloud", "site", "--group", GROUP, "--json", "--yes"))[
            "servers"
        ]
        assert name not in servers(plane)
    finally:
        launch.kill()
        launch.communicate()


def test_a_worker_that_the_pool_refuses_is_reported_with_its_console(
    plane: Plane, pool: Pool, network: Network, image: Image, tmp_path: Path
) -> None:
    """The token looks right, but the pool has not signed it: only the worker can know, and says so."""
    token, console = tmp_path / "refused-token", tmp_path / "console"
    scopes = ("ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ")
    forged = signing.mint(
        secrets.token_bytes(64), KEY, issuer=TRUST_DOMAIN, subject=IDENTITY, scopes=scopes, lifetime=7200
    )
    token.write_text(forged)
    token.chmod(0o600)
    console.touch()
    with plane.faulty_nova(f"console:{console}"):
        argv = argv_of(token, "--count", "1", "--wait", "90s", "--json", group="refused", cloud="faulty")
        launch = popen(plane, network, *argv)
        [(name, server)] = wait_until(
            "the server is there",
            lambda: [(one["name"], one["id"]) for one in listed(plane, "--group", "refused").values()],
        )
        with plane.metadata(server):
            needs = Needs(user_data=user_data(plane), hostname=name, network=network, instance_id=server)
            with boot(needs, image, tmp_path) as machine:
                assert machine.wait_booted()
                machine.wait_until(
                    "the worker says why",
                    lambda: copied(machine.console, console),
                    120,
                    lambda text: "does not accept" in text or "refuse" in text,
                )
                done = ended(launch)
    assert done.status == 5, done.err
    assert "0 of 1 workers are in the pool" in done.err and name in done.err
    print(done.err)
    assert forged not in done.err + done.out
    assert listed(plane, "--group", "refused")[name]["state"] == "booting"  # and is kept
    argv = ("fleet", "delete", "--cloud", "site", "--group", "refused", "--yes", "--force", "--json")
    assert of(plane.bakery(*argv))["servers"]


def user_data(plane: Plane) -> str:
    """What Nova's metadata service has for the server."""
    script = """
import urllib.request
with urllib.request.urlopen("http://169.254.169.254/openstack/latest/user_data") as answer:
    print(json.dumps(answer.read().decode()))
"""
    found: str = plane.python(script)
    return found


def copied(source: Path, target: Path) -> str:
    text = source.read_text("utf-8", "replace")
    target.write_text(text)
    return text
