"""What many workers cost a pool: the numbers of docs/explanation/scale.md, measured on this machine.

    scripts/bench scale [PART…] [--ads N] [--joins N] [--targets N]; root

A throw-away pool of the default image, with the real collector, negotiator and CCB broker. Parts:

    ads            a collector with N advertised slots: seconds and CPU of updates, memory, queries
    negotiation    a cycle of the negotiator over these slots, for jobs that match none of them
    joins          N workers that join, each with its own connection: one by one, and 32 at once
    tokens         the same with a hundred tokens, as of a hundred launches
    brokers        N daemons behind a CCB broker: file descriptors and memory of the broker
    worker         a real worker of the image: file descriptors of the collector, which is its broker, too

CPU is that of the daemon, which does not depend on how busy the machine is; the seconds do. The first lines
say what machine it is, and how busy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import GATEWAY, Network, isolated
from bakery.runtime.conditions import wait_until
from bakery.tokens import signing
from bakery.verify.pool import throwaway_pool
from bakery.verify.pool.throwaway_pool import KEY, TRUST_DOMAIN, Pool
from provisioner.process import run
from tests import big_collector
from tests.boot.life import conf, configure, wait_joined
from tests.conftest import BASE, bake, mounted, own_mounts

ROOT = Path(__file__).parent.parent.parent
_TICK = os.sysconf("SC_CLK_TCK")
_AT_ONCE = 32
_SLOTS = big_collector.DYNAMIC + 1  # of a worker of big_collector


@dataclass(frozen=True)
class Daemon:
    """A process of the pool."""

    pid: int

    @property
    def cpu(self) -> float:
        """Seconds of CPU so far, with that of its children, which answer large queries."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICK

    @property
    def memory(self) -> float:
        """MiB of resident memory."""
        rows = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(row for row in rows if row.startswith("VmRSS")).split()[1]) / 1024

    @property
    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@dataclass
class Bench:
    """A pool, and what is asked for."""

    options: argparse.Namespace
    pool: Pool
    network: Network
    image: Image
    work: Path

    def daemon(self, name: str) -> Daemon:
        """The daemon of the pool that has this name; not its children, which answer queries."""
        named = {pid for pid in _processes(self.network) if _name(pid) == name[:15]}
        [found] = [pid for pid in named if _parent(pid) not in named]
        return Daemon(found)

    def tool(self, *argv: str) -> str:
        return self.pool._tool(*argv)

    def token_folder(self, name: str) -> Path:
        """A folder with a new token of the pool."""
        folder = self.work / "tokens" / name
        folder.mkdir(parents=True, mode=0o700)
        token = signing.mint(
            self.pool.signing_key, KEY, issuer=TRUST_DOMAIN, subject=throwaway_pool.IDENTITY,
            scopes=("ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ"), lifetime=86400,
        )  # fmt: skip
        file = folder / "token"
        file.touch(mode=0o600)
        file.write_text(token)
        return folder


def ads(bench: Bench) -> None:
    """Advertise ever more slots; ask for the names of all, and for one worker."""
    collector = bench.daemon("condor_collector")
    empty = collector.memory
    print(f"collector without ads: {empty:.0f} MiB")
    one = ("-const", 'Machine == "node-1.example.edu"')
    for number in sorted({bench.options.ads // 50, bench.options.ads // 5, bench.options.ads}):
        cpu = collector.cpu
        seconds = big_collector.fill(bench.pool, number // _SLOTS)
        each = 1e6 * (collector.cpu - cpu) / number
        kib = (collector.memory - empty) * 1024 / number
        queries = ", ".join(
            f"{what} {_query(bench, collector, *argv)}"
            for what, argv in (("all names", ()), ("one worker", one))
        )
        print(
            f"{number:7,} slots: {number / seconds:6.0f} updates/s ({each:.0f} µs of CPU each), "
            f"{collector.memory:5.0f} MiB ({kib:.1f} KiB each); {queries}",
            flush=True,
        )


def _query(bench: Bench, collector: Daemon, *argv: str) -> str:
    """The seconds of a query, and those of the collector's CPU."""
    cpu, started = collector.cpu, time.monotonic()
    bench.tool("condor_status", *argv, "-af", "Name")
    return f"{time.monotonic() - started:.2f} s ({collector.cpu - cpu:.2f} s of CPU)"


def negotiation(bench: Bench) -> None:
    """A cycle over the advertised slots, with jobs of ever more autoclusters."""
    there = bench.tool("condor_status", "-af", "Name").count("\n")
    _show_each_cycle(bench.pool)
    negotiator = bench.daemon("condor_negotiator")
    for number in (0, 1, 10):
        jobs = [
            bench.pool.submit(
                f"jobs-{number}-{one}", "", "#!/bin/sh\n", {"request_memory": str(10**6 + one)}
            )
            for one in range(number)
        ]
        _next_cycle(bench)
        cpu = negotiator.cpu
        last = _next_cycle(bench)
        used = negotiator.cpu - cpu
        print(
            f"{there:7,} slots, {number:2} groups of like jobs: {used:5.2f} s of CPU in a cycle, "
            f"{last['Duration']} s by the negotiator's clock, {negotiator.memory:.0f} MiB",
            flush=True,
        )
        for job in jobs:
            bench.pool.remove(job)


def joins(bench: Bench) -> None:
    """Workers that join with one token."""
    folder = bench.token_folder("one")
    for at_once in (1, _AT_ONCE):
        _join(bench, [folder], at_once, f"{at_once:2} at once, one token")


def tokens(bench: Bench) -> None:
    """Workers that join with a hundred tokens."""
    folders = [bench.token_folder(f"launch-{number}") for number in range(100)]
    _join(bench, folders, 1, " 1 at once, 100 tokens")


def _join(bench: Bench, folders: Sequence[Path], at_once: int, title: str) -> None:
    """Join by as many processes as there are tokens, or at once; print what it took."""
    collector = bench.daemon("condor_collector")
    clients = max(at_once, len(folders))
    each = max(1, bench.options.joins // clients)
    argvs = [_joining(bench, folders[place % len(folders)], each, place * each) for place in range(clients)]
    cpu, started = collector.cpu, time.monotonic()
    took = [one for place in range(0, clients, at_once) for one in _run(argvs[place : place + at_once])]
    seconds, used = time.monotonic() - started, collector.cpu - cpu
    good = [one for one in took if one is not None]
    print(
        f"{len(took):6,} joins, {title}: {len(good) / seconds:5.0f} a second, "
        f"{1000 * used / len(took):.2f} ms of the collector's CPU each; "
        f"median {statistics.median(good):.3f} s, longest {max(good):.2f} s; "
        f"{len(took) - len(good)} failed",
        flush=True,
    )


def _joining(bench: Bench, folder: Path, number: int, first: int) -> list[str]:
    words = [sys.executable, "-P", "-m", "tests.bench.joining", str(folder), f"{GATEWAY}:9618"]
    return bench.network.argv([*words, str(number), str(first)])


def _run(argvs: Sequence[Sequence[str]]) -> Iterator[float | None]:
    """Run programs at once; yield the seconds of their joins."""
    env = run.environment(PYTHONPATH=str(ROOT))
    children = [
        subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for argv in argvs
    ]
    for child in children:
        yield from json.loads(child.communicate()[0])


def brokers(bench: Bench) -> None:
    """Daemons behind the broker of the collector, each with a connection that stays."""
    collector = bench.daemon("condor_collector")
    descriptors, memory = collector.descriptors, collector.memory
    number = bench.options.targets
    with ExitStack() as stack:
        for one in range(number):
            stack.enter_context(_target(bench, one))
        wait_until(
            f"{number} daemons are registered", lambda: collector.descriptors - descriptors,
            lambda now: now >= number, 900,
        )  # fmt: skip
        more, size = collector.descriptors - descriptors, collector.memory - memory
        rows = Path(f"/proc/{collector.pid}/limits").read_text().splitlines()
        limit = next(row for row in rows if "open files" in row).split()[3]
        print(
            f"{number:6,} daemons behind one broker: {more / number:.2f} file descriptors and "
            f"{1024 * size / number:.1f} KiB each; it may open {limit} files",
            flush=True,
        )


@contextmanager
def _target(bench: Bench, number: int) -> Iterator[None]:
    """A condor_master without other daemons, which registers with the broker and advertises itself."""
    home = f"/tmp/target-{number}"
    for folder in ("log", "spool", "execute", "lock"):
        (bench.pool.root / home[1:] / folder).mkdir(parents=True)
    bench.tool("chown", "-R", "condor:condor", home)
    settings = {
        "LOCAL_DIR": home, "LOG": f"{home}/log", "SPOOL": f"{home}/spool", "EXECUTE": f"{home}/execute",
        "LOCK": f"{home}/lock", "RUN": home, "DAEMON_LIST": "MASTER", "USE_SHARED_PORT": "False",
        "CCB_ADDRESS": f"{GATEWAY}:9618", "MASTER_NAME": f"target-{number}",
        "MASTER_ADDRESS_FILE": f"{home}/address",
        "PRIVATE_NETWORK_NAME": f"target-{number}", "PRIVATE_NETWORK_INTERFACE": "127.0.0.1",
    }  # fmt: skip
    env = [f"_CONDOR_{name}={value}" for name, value in settings.items()]
    argv = ["chroot", str(bench.pool.root), "env", *env, "condor_master", "-f"]
    with run.background(
        bench.network.argv(argv), log=bench.work / f"target-{number}.log", env=run.environment()
    ):
        yield


def worker(bench: Bench) -> None:
    """A worker that joins; it is idle."""
    collector = bench.daemon("condor_collector")
    before = collector.descriptors
    folder = bench.work / "worker"
    folder.mkdir()
    with boot(Needs(hostname="one", network=bench.network), bench.image, folder) as machine:
        machine.wait_booted()
        configure(machine, conf(bench.pool, "one", "TG-ABC123"))
        wait_joined(machine, bench.pool, "one")
        ads = bench.tool(
            "condor_status", "-any", "-const", 'WorkerGroupName == "one"', "-af", "MyType"
        ).split()
        size = len(bench.tool("condor_status", "-const", 'WorkerGroupName == "one"', "-long").splitlines())
        print(
            f"a worker without jobs: {collector.descriptors - before} file descriptors of the collector, "
            f"ads: {', '.join(sorted(ads))}, {size} attributes in that of the slot",
            flush=True,
        )


def _show_each_cycle(pool: Pool) -> None:
    """Have the negotiator advertise each cycle, not only every five minutes."""
    config = pool.root / "etc/condor/config.d/20-bench.config"
    config.write_text("NEGOTIATOR_UPDATE_AFTER_CYCLE = True\n")
    pool.reconfigure()


def _next_cycle(bench: Bench) -> Mapping[str, int]:
    """Wait until another cycle has ended, and return it."""
    before = _cycle(bench)["End"]
    return wait_until("a cycle ends", lambda: _cycle(bench), lambda now: now["End"] > before, 600)


def _cycle(bench: Bench) -> Mapping[str, int]:
    """When the negotiator's last cycle ended, and its duration in seconds."""
    names = {"End": "LastNegotiationCycleEnd0", "Duration": "LastNegotiationCycleDuration0"}
    values = bench.tool("condor_status", "-negotiator", "-af", *names.values()).split()
    return dict(zip(names, (int(float(value)) for value in values), strict=True))


def _processes(network: Network) -> Iterator[int]:
    """The processes in the pool's network."""
    its = network.namespace.stat().st_ino
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                if (path / "ns/net").stat().st_ino == its:
                    yield int(path.name)
            except OSError:  # it has ended
                continue


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


_PARTS = {
    "ads": ads,
    "negotiation": negotiation,
    "joins": joins,
    "tokens": tokens,
    "brokers": brokers,
    "worker": worker,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}; default: all")
    parser.add_argument("--ads", type=int, default=50_000)
    parser.add_argument("--joins", type=int, default=1000)
    parser.add_argument("--targets", type=int, default=100)
    options = parser.parse_args()
    if unknown := set(options.parts) - set(_PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    own_mounts()
    image = Path(bake("osg")["path"])
    with TemporaryDirectory(prefix="bench-scale-") as name:
        work = Path(name)
        for folder in ("image", "network", "pool"):
            (work / folder).mkdir()
        with (
            mounted(image, work / "image") as root,
            isolated(work / "network") as network,
            throwaway_pool.start_in_sandbox(root, work / "pool", network) as pool,
        ):
            version = pool._tool("condor_version").split()[1]
            print(f"HTCondor {version}, {os.cpu_count()} cores")
            for part in options.parts or _PARTS:
                print(f"\n{part}: load {os.getloadavg()[0]:.1f}", flush=True)
                _PARTS[part](Bench(options, pool, network, Image(image, root, BASE.login), work))


if __name__ == "__main__":
    main()
