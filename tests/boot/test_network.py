"""The network that the other tests of this tier rely on is as its description says."""

from __future__ import annotations

import json
from pathlib import Path

from bakery.machines.machine import Machine
from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import BLACKHOLE, GATEWAY, METADATA, Network, isolated

_LOOK = """
import json, socket, sys, time
for place in json.load(sys.stdin):
    began = time.monotonic()
    try:
        socket.create_connection(place, 2).close()
        said = "open"
    except OSError as error:
        said = type(error).__name__
    print(said if time.monotonic() - began < 1.5 or said == "TimeoutError" else said + ", late")
"""


def seen(machine: Machine, *places: tuple[str, int]) -> list[str]:
    """What comes of connecting to each of them from inside."""
    told = json.dumps(places).encode()
    return machine.run(["python3", "-c", _LOOK], stdin=told).stdout.splitlines()


def address(machine: Machine) -> str:
    return machine.run(["hostname", "-I"]).stdout.split()[0]


def test_what_answers_what_refuses_and_what_is_silent(
    network: Network, worker_image: Image, tmp_path: Path
) -> None:
    with boot(Needs(network=network), worker_image, tmp_path) as machine:
        machine.wait_booted()
        with network.listen(GATEWAY, 8081):
            assert seen(machine, (GATEWAY, 8081)) == ["open"]
        places = ((GATEWAY, 8081), (METADATA, 80), (BLACKHOLE, 9618), ("198.51.100.1", 9618))
        refused, silent, unreachable = "ConnectionRefusedError", "TimeoutError", "OSError"
        assert seen(machine, *places) == [refused, refused, silent, unreachable]
        assert seen(machine, ("pool.nowhere.invalid", 9618)) == ["gaierror"]


def test_two_machines_and_their_network_come_and_go(worker_image: Image, tmp_path: Path) -> None:
    for name in ("one", "two", "network"):
        (tmp_path / name).mkdir()
    with isolated(tmp_path / "network") as network, network.listen(GATEWAY, 8081):
        needs = Needs(network=network)
        with (
            boot(needs, worker_image, tmp_path / "one") as one,
            boot(needs, worker_image, tmp_path / "two") as two,
        ):
            for machine in (one, two):
                machine.wait_booted()
                assert seen(machine, (GATEWAY, 8081)) == ["open"]
            assert [address(one), address(two)] == ["10.0.2.15", "10.0.2.16"]
            two.run(["systemctl", "--no-block", "poweroff"])
            two.wait_powered_off(120)
        with boot(needs, worker_image, tmp_path / "two") as third:
            third.wait_booted()
            assert (address(third), seen(third, (GATEWAY, 8081))) == ("10.0.2.17", ["open"])
    assert not network.namespace.exists()
