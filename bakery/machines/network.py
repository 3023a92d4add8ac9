"""A network for machines that nothing leads out of: a pool's address, and a cable to each machine.

Its addresses are those of QEMU's user network: a virtual machine whose QEMU runs in it and a
namespace machine at the end of a cable (a veth pair) both reach the pool as their gateway.

    10.0.2.2           the pool, and whatever else a test has listen there; other ports refuse
    10.0.2.15, .16, …  the machines, each an address of its own
    169.254.169.254    refuses, until a test has a metadata service listen there
    192.0.2.1          never answers
    anything else      cannot be reached, and says so at once; no name can be resolved
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

from bakery.machines.conditions import Condition, wait
from provisioner.errors import NotProven
from provisioner.process import run

GATEWAY = "10.0.2.2"
METADATA = "169.254.169.254"
SILENT = "192.0.2.1"
_FIRST_MACHINE = 15
_CLONE_NEWNET = 0x40000000  # <linux/sched.h>
# Run in the machine's own network, by who still sees our processes. It goes when either end's network does.
_CABLE = """\
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
    """A network namespace that lives as long as the process `holder`."""

    holder: int
    _free: Iterator[str] = field(default_factory=_addresses, repr=False, compare=False)

    @property
    def namespace(self) -> Path:
        return Path(f"/proc/{self.holder}/ns/net")

    def free_address(self) -> str:
        """An address that no machine has had yet."""
        return next(self._free)

    def cable(self) -> str:
        """A shell's commands that lay a cable to a machine with an address of its own."""
        return _CABLE.format(address=self.free_address(), network=self.namespace, gateway=GATEWAY)

    def argv(self, command: Sequence[str]) -> list[str]:
        """`command`, on this network."""
        return ["nsenter", f"--net={self.namespace}", "--", *command]

    def listen(self, address: str, port: int) -> socket.socket:
        """A listening socket on this network, for a server in our own process."""
        # A thread of its own: whoever changes networks is not to come back to other work.
        with ThreadPoolExecutor(1) as own:
            return own.submit(self._listen, address, port).result()

    def _listen(self, address: str, port: int) -> socket.socket:
        with self.namespace.open() as namespace:
            if ctypes.CDLL(None).setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(f"cannot enter the network of process {self.holder}")
        return socket.create_server((address, port))


def on(network: Network | None, command: Sequence[str]) -> list[str]:
    """`command` on this network, or on ours."""
    return list(command) if network is None else network.argv(command)


@contextmanager
def isolated(work: Path) -> Iterator[Network]:
    """A new network, while the block runs. What still uses it then loses it. Needs root."""
    run.require("ip", "unshare", "nsenter")
    with run.background(_HOLDER, log=work / "network.log") as process:
        network = Network(process.pid)
        _wait_apart(network)
        add_gateway(network.argv([]))
        _add_surroundings(network)
        yield network


def here() -> Network:
    """Our own network, which has to be a sandbox's private one, made such a network."""
    network = Network(os.getpid())
    add_gateway()
    _add_surroundings(network)
    return network


def add_gateway(prefix: Sequence[str] = ()) -> None:
    """Give the present network, or the one that the prefix leads into, the pool's address."""
    run.call([*prefix, "ip", "link", "set", "lo", "up"])
    run.call([*prefix, "ip", "address", "add", f"{GATEWAY}/32", "dev", "lo"])


def _add_surroundings(network: Network) -> None:
    run.call(network.argv(["ip", "address", "add", f"{METADATA}/32", "dev", "lo"]))
    run.call(network.argv(["ip", "route", "add", "blackhole", f"{SILENT}/32"]))
    # A router answers for what it cannot reach; a mere host is silent.
    forward = "echo 1 >/proc/sys/net/ipv4/ip_forward"
    run.call(network.argv(["sh", "-c", forward]))


def _wait_apart(network: Network) -> None:
    """Until the holder has left our network for its own."""

    def apart() -> bool:
        try:
            return not network.namespace.samefile("/proc/self/ns/net")
        except OSError as error:
            raise NotProven(str(error)) from None

    wait(Condition("a network of its own", apart, 60), pause=0.05)
