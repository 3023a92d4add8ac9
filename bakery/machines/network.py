"""Create an isolated network (a network namespace) with a pool's address and a link to each machine.

Its addresses are those of QEMU's user network: a virtual machine whose QEMU runs in the network, and a
namespace machine connected by a veth pair, both reach the pool at their gateway.

    10.0.2.2           the gateway, with the pool and the servers of tests; closed ports refuse
    10.0.2.15, .16, …  the machines, one address each
    169.254.169.254    refuses, unless a test runs a metadata service there
    192.0.2.1          never answers
    other addresses    are unreachable, with an ICMP error; no name can be resolved
"""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bakery.runtime.conditions import Condition, wait
from provisioner.errors import NotProven
from provisioner.process import run

GATEWAY = "10.0.2.2"
METADATA = "169.254.169.254"
BLACKHOLE = "192.0.2.1"
_FIRST_MACHINE = 15
_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
# Run in the machine's network namespace, but in our PID namespace. The kernel removes the veth pair with
# the namespace of either end.
_VETH_PAIR = """\
ip link add eth0 type veth peer name to-{address} netns {network}
nsenter --net={network} ip link set to-{address} up
nsenter --net={network} ip route add {address}/32 dev to-{address} src {gateway}
ip address add {address}/24 dev eth0
ip link set eth0 up
ip route add default via {gateway}
"""
_HOLDER = ("unshare", "--net", "sleep", "infinity")


def _addresses() -> Iterator[str]:
    return (f"10.0.2.{number}" for number in itertools.count(_FIRST_MACHINE))


@dataclass(frozen=True)
class Network:
    """A network namespace that exists as long as the process `holder`."""

    holder: int
    _free: Iterator[str] = field(default_factory=_addresses, repr=False, compare=False)

    @property
    def namespace(self) -> Path:
        return Path(f"/proc/{self.holder}/ns/net")

    def free_address(self) -> str:
        """Return an address that no machine has had yet."""
        return next(self._free)

    def veth_commands(self) -> str:
        """Return shell commands that connect a machine by a veth pair with a new address."""
        return _VETH_PAIR.format(address=self.free_address(), network=self.namespace, gateway=GATEWAY)

    def argv(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs `command` on this network."""
        return ["nsenter", f"--net={self.namespace}", "--", *command]

    def listen(self, address: str, port: int) -> socket.socket:
        """Return a listening socket on this network for a server in this process."""
        # In a new thread, because setns(2) changes the network of its thread for good.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._listen, address, port).result()

    def _listen(self, address: str, port: int) -> socket.socket:
        with self.namespace.open() as namespace:
            if ctypes.CDLL(None).setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(f"cannot enter the network of process {self.holder}")
        return socket.create_server((address, port))


def on(network: Network | None, command: Sequence[str]) -> list[str]:
    """Return the command line that runs `command` on a network; None: on the current one."""
    return list(command) if network is None else network.argv(command)


@contextmanager
def isolated(work: Path) -> Iterator[Network]:
    """Create a network for the time of the block. Requires root. Raises MissingHere: a tool is missing."""
    run.require("ip", "unshare", "nsenter")
    with run.background(_HOLDER, log=work / "network.log") as process:
        network = Network(process.pid)
        _wait_created(network)
        add_gateway(network.argv([]))
        _add_other_destinations(network)
        yield network


def from_sandbox() -> Network:
    """Set up the current network namespace, which must be a sandbox's private one."""
    network = Network(os.getpid())
    add_gateway()
    _add_other_destinations(network)
    return network


def add_gateway(prefix: Sequence[str] = ()) -> None:
    """Add the pool's address to the current network, or to the one that `prefix` enters."""
    run.call([*prefix, "ip", "link", "set", "lo", "up"])
    run.call([*prefix, "ip", "address", "add", f"{GATEWAY}/32", "dev", "lo"])


def _add_other_destinations(network: Network) -> None:
    run.call(network.argv(["ip", "address", "add", f"{METADATA}/32", "dev", "lo"]))
    run.call(network.argv(["ip", "route", "add", "blackhole", f"{BLACKHOLE}/32"]))
    # Only a router sends an ICMP error for an unreachable address.
    forward = "echo 1 >/proc/sys/net/ipv4/ip_forward"
    run.call(network.argv(["sh", "-c", forward]))


def _wait_created(network: Network) -> None:
    """Wait until the holder has its own network namespace."""

    def is_created() -> bool:
        try:
            return not network.namespace.samefile("/proc/self/ns/net")
        except OSError as error:
            raise NotProven(str(error)) from None

    wait(Condition("a new network namespace", is_created, 60), interval=0.05)
