"""The metadata guard on real packets: a cloud, a worker and a container on the worker.

Three network namespaces in a row. In the cloud's, a server answers on metadata addresses, by
HTTP's ports and by DNS's. The guard runs in the worker's as its unit runs it, with the real nft
or iptables; everything is asked by real connections.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from bakery.machines.namespace import MASKED, boot
from bakery.runtime import data
from provisioner.process.run import Completed, background, call, require, sandbox_argv
from tests.boot.test_guest_life import conf, master, shell, state, wait_for_startd, write

RUNTIME = "usr/lib/worker-bakery"
PYTHON = "/usr/bin/python3"  # one that every user may execute
AMAZON, AMAZON6, OPENSTACK6 = "169.254.169.254", "fd00:ec2::254", "fe80::a9fe:a9fe%cloud"
MAPPED = "::ffff:169.254.169.254"  # IPv4 by an IPv6 socket
ELSEWHERE = "169.254.99.99"
HTTP, DNS = (80, 443, 32526), 53

SERVER = """
import selectors, socket
ready = selectors.DefaultSelector()
for port in (80, 443, 32526, 53):
    listening = socket.socket(socket.AF_INET6)
    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("::", port))
    listening.listen(64)
    ready.register(listening, selectors.EVENT_READ)
while True:
    for key, _ in ready.select():
        if key.data:  # whoever asked has closed the connection
            ready.unregister(key.fileobj)
            key.fileobj.close()
        else:
            connection, _ = key.fileobj.accept()
            connection.sendall(b"user-data")
            ready.register(connection, selectors.EVENT_READ, "answered")
"""
# 262 is MPTCP, whose connections the kernel opens by sockets of its own.
CLIENT = """
import errno, json, socket, sys
def ask(host, port, protocol):
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as asking:
            asking.settimeout(5)
            asking.connect(address)
            return asking.recv(64).decode()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
print(json.dumps([ask(*one) for one in json.loads(sys.argv[1])]))
"""
ANSWER, REFUSED = "user-data", "ECONNREFUSED"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
BELIEVES_TO_BE_ROOT = (*NOBODY, "unshare", "--user", "--map-root-user", "--")
ROOT: tuple[str, ...] = ()


@dataclass(frozen=True)
class Space:
    """Network, mount and PID namespaces that a sleeping process holds."""

    pid: int

    def run(self, *argv: str, stdin: bytes = b"", expect: Sequence[int] = (0,)) -> Completed:
        spaces = ("--net", "--mount", "--pid")
        return call(["nsenter", f"--target={self.pid}", *spaces, "--", *argv], stdin=stdin, expect=expect)

    def ip(self, *argv: str) -> None:
        """In the network namespace only: PIDs are everybody's."""
        call(["nsenter", f"--target={self.pid}", "--net", "--", "ip", *argv])

    def ask(
        self, who: Sequence[str], host: str, ports: Sequence[int] = HTTP, protocol: int = 0
    ) -> set[str]:
        """What came of connecting to each of the ports."""
        asked = json.dumps([[host, port, protocol] for port in ports])
        return set(json.loads(self.run(*who, PYTHON, "-c", CLIENT, asked).stdout))


@dataclass(frozen=True)
class Places:
    cloud: Space
    worker: Space
    container: Space
    runtime: Path  # as it lies in an image

    def guard(
        self, on: bool = True, *, path: str, expect: Sequence[int] = (0,), ipv6: bool | None = None
    ) -> Completed:
        """Run `worker guard`, or its part for a kernel with or without IPv6; tools only from `path`."""
        settings = json.dumps({"MetadataGuard": "yes" if on else "no"})
        self.worker.run("sh", "-c", "cat >/run/worker-bakery/settings.json", stdin=settings.encode())
        command = [str(self.runtime / "worker"), "guard"]
        if ipv6 is not None:
            part = f"import sys; sys.path.insert(0, {str(self.runtime)!r}); "
            part += "from worker_runtime.jobs import metadata_guard; "
            command = [PYTHON, "-IBc", f"{part}metadata_guard.switch({on}, {ipv6})"]
        return self.worker.run("env", f"PATH={path}", *command, expect=expect)

    def rules(self) -> str:
        """All that the worker's kernel filters by, but for counters and dates."""
        legacy = [
            self.worker.run(f"/usr/sbin/{name}-legacy-save").stdout for name in ("iptables", "ip6tables")
        ]
        lines = "\n".join(
            [self.worker.run("nft", "--stateless", "list", "ruleset").stdout, *legacy]
        ).splitlines()
        return "\n".join(re.sub(r"\[\d+:\d+\]", "", line) for line in lines if line[:1] != "#")


@contextmanager
def space(log: Path) -> Iterator[Space]:
    with background(sandbox_argv(["sleep", "infinity"], private_network=True), log=log) as process:
        yield Space(_sleeper(process.pid))


def _sleeper(parent: int) -> int:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(OSError):
            for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
                if Path(f"/proc/{child}/comm").read_text().strip() == "sleep":
                    return int(child)
        time.sleep(0.02)
    raise AssertionError("the namespaces did not come up")


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    require("nft", "iptables-legacy", "nsenter", "ip", "setpriv", "unshare")
    with ExitStack() as stack:
        made = [stack.enter_context(space(tmp_path / name)) for name in ("cloud", "worker", "container")]
        _connect(*made)
        made[1].run("mount", "-t", "tmpfs", "tmpfs", "/run")
        made[1].run("mkdir", "/run/worker-bakery")
        server = ["nsenter", f"--target={made[0].pid}", "--net", "--", PYTHON, "-c", SERVER]
        stack.enter_context(background(server, log=tmp_path / "server"))
        for part in ("common", "osg"):
            shutil.copytree(data.WORKER / part / RUNTIME, tmp_path / RUNTIME, dirs_exist_ok=True)
        cloud, worker, container = made
        places = Places(cloud, worker, container, tmp_path / RUNTIME)
        _wait_for_server(places.worker)
        yield places


def _connect(cloud: Space, worker: Space, container: Space) -> None:
    """cloud --- worker --- container, by IPv4 and IPv6."""
    cloud.ip("link", "add", "worker", "type", "veth", "peer", "name", "cloud", "netns", str(worker.pid))
    worker.ip("link", "add", "box", "type", "veth", "peer", "name", "worker", "netns", str(container.pid))
    for where, link, *addresses in (
        (cloud, "lo", f"{AMAZON}/32", f"{ELSEWHERE}/32", f"{AMAZON6}/128"),
        (cloud, "worker", "10.9.0.1/24", "fd09::1/64", "fe80::a9fe:a9fe/64"),
        (worker, "lo"),
        (worker, "cloud", "10.9.0.2/24", "fd09::2/64"),
        (worker, "box", "10.9.1.1/24", "fd09:1::1/64"),
        (container, "lo"),
        (container, "worker", "10.9.1.2/24", "fd09:1::2/64"),
    ):
        where.ip("link", "set", link, "up")
        for address in addresses:
            where.ip("address", "add", address, "dev", link, *(["nodad"] if ":" in address else []))
    for where, default, default6 in (
        (cloud, "10.9.0.2", "fd09::2"),
        (worker, "10.9.0.1", "fd09::1"),
        (container, "10.9.1.1", "fd09:1::1"),
    ):
        where.ip("route", "add", "default", "via", default)
        where.ip("route", "add", "default", "via", default6)
    for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        worker.run("sh", "-c", f"echo 1 >/proc/sys/net/{setting}")


def _wait_for_server(worker: Space) -> None:
    """Until everything answers: links of IPv6 take a moment to come up."""
    end = time.monotonic() + 60
    while not all(worker.ask(ROOT, host) == {ANSWER} for host in (AMAZON, AMAZON6, OPENSTACK6)):
        assert time.monotonic() < end, "the metadata server does not answer"
        time.sleep(0.1)


@pytest.fixture(params=["nft", "iptables-nft", "iptables-legacy"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A PATH with one way to set rules. The older iptables is EL7's."""
    return folder_of(tmp_path / "bin", request.param)


def folder_of(folder: Path, variant: str) -> str:
    folder.mkdir(exist_ok=True)
    if variant == "nft":
        (folder / "nft").symlink_to(found("nft"))
        return str(folder)
    kind = variant.removeprefix("iptables-")
    for family in ("iptables", "ip6tables"):
        for verb in ("save", "restore"):
            (folder / f"{family}-{verb}").symlink_to(found(f"{family}-{kind}-{verb}"))
    return str(folder)


def found(program: str) -> str:
    place = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    assert place, f"no {program} here; ./scripts/setup installs it"
    return place


def test_only_root_reaches_the_metadata_service(places: Places, path: str) -> None:
    worker, container = places.worker, places.container
    before = places.rules()
    for who in (ROOT, NOBODY, BELIEVES_TO_BE_ROOT):
        assert worker.ask(who, AMAZON) == worker.ask(who, AMAZON6) == {ANSWER}
    assert container.ask(ROOT, AMAZON) == container.ask(ROOT, AMAZON6) == {ANSWER}

    assert places.guard(path=path).stderr == ""
    for host in (AMAZON, AMAZON6, OPENSTACK6, MAPPED):
        assert worker.ask(ROOT, host) == {ANSWER}
        assert worker.ask(NOBODY, host) == {REFUSED}
        assert worker.ask(BELIEVES_TO_BE_ROOT, host) == {REFUSED}
        assert worker.ask(NOBODY, host, [DNS]) == {ANSWER}
    assert worker.ask(NOBODY, AMAZON, protocol=262) == {REFUSED}
    assert worker.ask(NOBODY, ELSEWHERE) == {ANSWER}

    # A container's root is nobody special.
    for host in (AMAZON, AMAZON6):
        assert container.ask(ROOT, host) == {REFUSED}
        assert container.ask(ROOT, host, [DNS]) == {ANSWER}
    assert container.ask(NOBODY, ELSEWHERE) == {ANSWER}

    once = places.rules()
    places.guard(path=path)
    assert places.rules() == once

    off = places.guard(on=False, path=path)
    assert "MetadataGuard is no: jobs can read" in off.stderr
    assert worker.ask(NOBODY, AMAZON) == worker.ask(NOBODY, AMAZON6) == {ANSWER}
    assert container.ask(NOBODY, AMAZON) == {ANSWER}
    for word in ("169.254", "WORKER", "worker"):
        assert word not in places.rules() and word not in before
    places.guard(on=False, path=path)


def test_rules_of_others_stay_and_do_not_come_first(places: Places, path: str) -> None:
    kind = "legacy" if any("legacy" in str(tool.readlink()) for tool in Path(path).iterdir()) else "nft"
    theirs = "OUTPUT", "-p", "tcp", "-j", "ACCEPT"
    tables = [found(f"{family}-{kind}") for family in ("iptables", "ip6tables")]
    for table in tables:
        places.worker.run(table, "-A", *theirs)
    places.guard(path=path)
    for table in tables:
        places.worker.run(table, "-I", *theirs)
    places.guard(path=path)
    assert places.worker.ask(NOBODY, AMAZON) == places.worker.ask(NOBODY, AMAZON6) == {REFUSED}

    places.guard(on=False, path=path)
    for table in tables:
        left = places.worker.run(table, "-S", "OUTPUT").stdout.splitlines()
        assert left == ["-P OUTPUT ACCEPT", *["-A " + " ".join(theirs)] * 2]


def test_without_ipv6(places: Places, path: str) -> None:
    """Switched off for all links, and, as far as tools and rules go, not in the kernel at all."""
    for ipv6 in (None, False):
        places.worker.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")
        places.guard(path=path, ipv6=ipv6)
        assert places.worker.ask(NOBODY, AMAZON) == {REFUSED}
        assert places.container.ask(NOBODY, AMAZON) == {REFUSED}
        assert places.worker.ask(ROOT, AMAZON) == {ANSWER}
        places.guard(on=False, path=path, ipv6=ipv6)
        assert places.worker.ask(NOBODY, AMAZON) == {ANSWER}


def test_roots_connections_end_as_they_should(places: Places, path: str) -> None:
    """The last packet of a connection belongs to no process; without it the server waits on."""
    places.guard(path=path)
    for _ in range(5):
        assert places.worker.ask(ROOT, AMAZON) == {ANSWER}
    end = time.monotonic() + 5  # a server that misses the packet waits for much longer
    while left := places.cloud.run("ss", "-Htan", "state", "last-ack", "state", "fin-wait-1").stdout:
        assert time.monotonic() < end, left
        time.sleep(0.2)


def test_a_broken_nft_is_said_and_iptables_used(places: Places, tmp_path: Path) -> None:
    path = folder_of(tmp_path / "bin", "iptables-legacy")
    broken = tmp_path / "bin/nft"
    broken.write_text("#!/bin/sh\necho 'netlink: Operation not supported' >&2\nexit 1\n")
    broken.chmod(0o755)
    said = places.guard(path=path).stderr
    assert "warning: metadata guard: nft: netlink: Operation not supported" in said
    assert places.worker.ask(NOBODY, AMAZON) == places.worker.ask(NOBODY, AMAZON6) == {REFUSED}


def test_no_way_to_set_rules_is_an_error_and_none_are_needed_to_go_without(
    places: Places, tmp_path: Path
) -> None:
    failed = places.guard(path=str(tmp_path), expect=[1])
    assert "neither nft nor iptables is installed" in failed.stderr
    assert "HTCondor does not start without the guard" in failed.stderr
    places.guard(on=False, path=str(tmp_path))


def test_htcondor_starts_only_behind_the_guard(worker_root: Path, tmp_path: Path) -> None:
    broken = worker_root / "usr/local/sbin/nft"
    broken.write_text("#!/bin/sh\necho 'netlink: Operation not supported' >&2\nexit 1\n")
    broken.chmod(0o755)
    unmasked = [unit for unit in MASKED if unit != "nftables.service"]
    with boot(
        worker_root, console=tmp_path / "console", masked=unmasked, arguments=["cloud-init=disabled"]
    ) as machine:
        machine.wait_booted()
        write(machine, conf())
        why = "cannot block jobs from the metadata service: nft: netlink: Operation not supported"
        guard = "worker-metadata-guard.service"
        machine.wait_until("it fails", lambda: state(machine, guard) == "failed", 120)
        assert why in machine.console_text()
        assert state(machine, "condor.service") == "inactive"

        broken.unlink()
        machine.run(["systemctl", "start", "condor.service"])
        wait_for_startd(machine)
        assert state(machine, guard) == "inactive"
        ours = "nft list table inet worker_metadata"
        assert AMAZON in shell(machine, ours)

        # Somebody's rules took the place of all others; each start of HTCondor sets that right.
        machine.run(["nft", "flush", "ruleset"])
        assert AMAZON not in shell(machine, ours)
        machine.run(["systemctl", "restart", "condor.service"])
        assert AMAZON in shell(machine, ours)
        machine.run(["nft", "flush", "ruleset"])
        crashed = master(machine)
        machine.run(["kill", "-KILL", str(crashed)])
        machine.wait_until("a crash is repaired", lambda: master(machine) not in (0, crashed), 120)
        assert AMAZON in shell(machine, ours)
        assert shell(machine, "systemctl is-system-running") == "running"

        # The distribution's own unit does just that.
        for verb in ("start", "reload", "stop"):
            machine.run(["systemctl", verb, "nftables.service"])
            assert AMAZON in shell(machine, ours), verb
