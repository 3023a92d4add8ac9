"""A pool of HTCondor on loopback: a central manager with an access point, and execute nodes that bake.

Each member has a root directory (a layer over a worker image, whose HTCondor is real) and PID, mount and
UTS namespaces of its own: if its PID 1, condor_master, gets SIGKILL, the kernel ends all its processes,
as if the machine had lost its power. The members share the network of this machine, since a bake needs a
package mirror; their daemons listen on 127.0.0.1 only.

On an execute node, jobs run as `builder`, whom sudo permits `worker-bakery bake`, unless the node is to
have no root. That program is the one of this checkout, run in the root directory of this machine (mounted
at /host), whose Python it requires.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bakery.machines.layer import layer
from bakery.runtime import conditions
from bakery.runtime.data import ROOT
from bakery.runtime.mirror import find
from bakery.store.store import Store, manifest_path
from provisioner.errors import NotProven
from provisioner.process import run
from provisioner.targets.chroot import Chroot, TemporaryRepositories
from tests.conftest import BASE, BIN

DOMAIN = "pool.submit.invalid"
MANAGER = f"cm.{DOMAIN}"
SUBMITTER, BUILDER = "submitter", "builder"
PROGRAM = "/usr/local/bin/worker-bakery"
_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
HOME = Path("/srv")
_SECONDS = 240
_COMMON = """\
use security:recommended_v9_0
CONDOR_HOST = 127.0.0.1
COLLECTOR_HOST = 127.0.0.1:{port}
NETWORK_INTERFACE = 127.0.0.1
NETWORK_HOSTNAME = {name}
BIND_ALL_INTERFACES = False
ENABLE_IPV6 = False
USE_SHARED_PORT = False
# By its address, a daemon of another member seems to be one of this machine's family.
SEC_USE_FAMILY_SESSION = False
TRUST_DOMAIN = {domain}
ALLOW_READ = *
ALLOW_WRITE = *
ALLOW_DAEMON = *
ALLOW_NEGOTIATOR = *
ALLOW_ADVERTISE_STARTD = *
ALLOW_ADVERTISE_SCHEDD = *
ALLOW_ADVERTISE_MASTER = *
UPDATE_INTERVAL = 5
LINUX_KERNEL_TUNING_SCRIPT =
"""
_OF_MANAGER = """\
DAEMON_LIST = MASTER, COLLECTOR, NEGOTIATOR, SCHEDD
UID_DOMAIN = {domain}
NEGOTIATOR_INTERVAL = 5
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_UPDATE_INTERVAL = 5
SCHEDD_INTERVAL = 5
PERIODIC_EXPR_INTERVAL = 5
DAGMAN_USER_LOG_SCAN_INTERVAL = 1
"""
# As docs/how-to/bake-on-a-pool.md has it, from HasWorkerBakery on.
_OF_NODE = """\
DAEMON_LIST = MASTER, STARTD
UID_DOMAIN = {name}
use feature:PartitionableSlot
NUM_CPUS = 2
MEMORY = 4096
EXECUTE = {execute}
START = {start}
RunBenchmarks = False
HasWorkerBakery = True
STARTD_ATTRS = $(STARTD_ATTRS) HasWorkerBakery
STARTER_ALLOW_RUNAS_OWNER = False
NOBODY_SLOT_USER = builder
STARTER_JOB_ENVIRONMENT = "WORKER_BAKERY_CACHE={cache}"
"""
_SUDOERS = f"""\
Defaults!{PROGRAM} env_keep += "WORKER_BAKERY_CACHE"
{BUILDER} ALL=(root) NOPASSWD: {PROGRAM} bake *
"""
_PROGRAM = """\
#!/bin/sh
exec chroot /host /bin/sh -c 'cd "$1" && shift && exec "$@"' sh "$PWD" {program} "$@"
"""
# Without root, a user namespace permits chroot(2); /root, with the Python of this checkout, is closed.
_PROGRAM_WITHOUT_ROOT = """\
#!/bin/sh
export PYTHONPATH={paths}
exec unshare --user --map-current-user --keep-caps /usr/sbin/chroot /host \\
    /bin/sh -c 'cd "$1" && shift && exec "$@"' sh "$PWD" /usr/bin/python3 -m bakery.commands.main "$@"
"""
# $1 root, $2 hostname, $3 a folder that has the same path inside, $4 its owner there.
_START = r"""
set -eu
hostname "$2"
mount --rbind "$1" "$1"
mkdir -p "$1/host" "$1$3"
mount --rbind / "$1/host"
mount -t proc proc "$1/host/proc"
mount -t proc proc "$1/proc"
mount --rbind /sys "$1/sys"
mount --rbind /dev "$1/dev"
mount --bind "$3" "$1$3"
chroot "$1" chown "$4" "$3"
cd "$1"
mkdir -p run/outside
pivot_root . run/outside
umount -l /run/outside
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 condor_master -f
"""


@dataclass(frozen=True)
class Node:
    """An execute node and the cache of its bakes.

    With `image`, sudo does not permit bakes on it, its cache has this image without a proof, and it takes
    only jobs that ask for it (+WantsNoRoot = True).
    """

    cache: Path
    image: Path | None = None


@dataclass(frozen=True)
class Member:
    """A running member of the pool; `process` is its unshare, the parent of its PID 1."""

    name: str
    root: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def master(self) -> int:
        """The PID of its condor_master in our PID namespace."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(children.split()[0])

    def argv(self, *argv: str, user: str = "root") -> list[str]:
        """The command line that runs a program in this member."""
        into = ["nsenter", f"--target={self.master}", "--mount", "--pid", "--uts"]
        return [*into, "chroot", f"--userspec={user}:{user}", "/", *argv]

    def tool(self, *argv: str, user: str = "root") -> str:
        return run.call(self.argv(*argv, user=user), env=_ENV, seconds=60).stdout


@dataclass
class Pool:
    """`folder` belongs to the submitter and has one path here and at the access point."""

    folder: Path
    port: int
    manager: Member
    nodes: dict[str, Member]
    tools: Path = Path("tools_of_access_point makes it")

    def slots(self) -> set[str]:
        """The machines that the collector knows."""
        return set(self.manager.tool("condor_status", "-af", "Machine").split())

    def queue(self, *attributes: str) -> list[list[str]]:
        rows = self.manager.tool("condor_q", "-all", "-allusers", "-af:t", *attributes).splitlines()
        return [row.split("\t") for row in rows]

    def logs(self) -> str:
        """The ends of all logs, for a failed test."""
        parts = []
        for member in (self.manager, *self.nodes.values()):
            for path in sorted((member.root / "var/log/condor").glob("*Log*")):
                rows = path.read_text("utf-8", "replace").splitlines()[-8:]
                parts.append("\n".join((f"--- {member.name} {path.name}", *rows)))
        return "\n".join(parts)

    def kill(self, name: str) -> None:
        """SIGKILL to the PID 1 of a node: the kernel kills all its other processes."""
        member = self.nodes.pop(name)
        os.kill(member.master, signal.SIGKILL)
        member.process.wait()


@contextmanager
def running(image_root: Path, work: Path, wanted: Mapping[str, Node]) -> Iterator[Pool]:
    """A pool with these execute nodes."""
    port, key = _free_port(), secrets.token_bytes(64)
    hosts = [MANAGER, *(f"{name}.{DOMAIN}" for name in wanted)]
    with ExitStack() as stack:
        prepared = stack.enter_context(_prepared(image_root, work))
        home = stack.enter_context(_home(work))
        folder = home / "submitter"
        folder.mkdir()
        manager = stack.enter_context(
            _member(
                prepared, work, MANAGER, folder, SUBMITTER, _OF_MANAGER, key=key, port=port, hosts=hosts
            )
        )
        nodes = {}
        for name, node in wanted.items():
            execute = home / f"execute-{name}"
            execute.mkdir()
            extra = {"execute": str(execute), "cache": str(node.cache)}
            extra["start"] = "True" if not node.image else "TARGET.WantsNoRoot =?= True"
            if node.image:
                _unproven(node.image, node.cache)
            full = f"{name}.{DOMAIN}"
            nodes[name] = stack.enter_context(
                _member(
                    prepared,
                    work,
                    full,
                    execute,
                    "condor",
                    _OF_NODE,
                    key=key,
                    port=port,
                    hosts=hosts,
                    **extra,
                )
            )
            if node.image:
                _take_root(nodes[name].root)
        pool = Pool(folder, port, manager, nodes)
        try:
            conditions.wait_until("the pool has its slots", pool.slots, set(hosts[1:]).issubset, _SECONDS)
        except NotProven as error:
            raise NotProven(f"{error.message}\n{pool.logs()}") from None
        yield pool


@contextmanager
def _home(work: Path) -> Iterator[Path]:
    """A folder of `work` at HOME, in this mount namespace.

    DAGMan accepts no log file below /tmp, and pytest's folders are closed to other users.
    """
    (work / "home").mkdir()
    run.call(["mount", "--bind", str(work / "home"), str(HOME)])
    try:
        yield HOME
    finally:
        run.call(["umount", str(HOME)])


@contextmanager
def _prepared(image_root: Path, work: Path) -> Iterator[Path]:
    """The root directory of the image with sudo and two users."""
    (work / "prepared").mkdir()
    packages = work / "packages"
    packages.mkdir()
    with layer(image_root, work / "prepared") as root:
        sources = TemporaryRepositories(find().sources(BASE.release), "", packages)
        target = Chroot(root, sources)
        for argv in (
            ("apt-get", "-q", "update"),
            ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y", "install", "sudo"),
            ("useradd", "--create-home", SUBMITTER),
            ("useradd", "--create-home", BUILDER),
        ):
            target.run(argv, lambda _: None)
        target.put("/etc/sudoers.d/worker-bakery", _SUDOERS.encode(), 0o440)
        target.put(PROGRAM, _PROGRAM.format(program=BIN / "worker-bakery").encode(), 0o755)
        target.close()
        yield root


@contextmanager
def _member(
    prepared: Path,
    work: Path,
    name: str,
    folder: Path,
    owner: str,
    config: str,
    *,
    key: bytes,
    hosts: Sequence[str],
    **values: object,
) -> Iterator[Member]:
    home = work / name
    home.mkdir()
    with layer(prepared, home) as root:
        _configure(root, key, (_COMMON + config).format(name=name, domain=DOMAIN, **values), hosts)
        flags = ("--mount", "--pid", "--uts", "--fork", "--kill-child", "--propagation=private")
        argv = ["unshare", *flags, "bash", "-c", _START, "start", str(root), name, str(folder), owner]
        with run.background(argv, log=home / "log", env=_ENV) as process:
            member = Member(name, root, process)
            conditions.wait_until(f"{name} has a condor_master", lambda: _is_master(member), bool, 60)
            master = member.master
            try:
                yield member
            finally:
                if process.poll() is None:
                    # --kill-child does not: the kernel forgets it when condor_master changes its user.
                    os.kill(master, signal.SIGKILL)
                    process.wait()
        assert not Path(f"/proc/{master}").exists()


def _take_root(root: Path) -> None:
    (root / "etc/sudoers.d/worker-bakery").unlink()
    paths = f"{ROOT}:{next((ROOT / '.venv/lib').glob('python3*'))}/site-packages"
    (root / PROGRAM[1:]).write_text(_PROGRAM_WITHOUT_ROOT.format(paths=paths))


def _is_master(member: Member) -> bool:
    with suppress(OSError, IndexError):
        return Path(f"/proc/{member.master}/comm").read_text().strip() == "condor_master"
    return False


def _configure(root: Path, key: bytes, config: str, hosts: Sequence[str]) -> None:
    folder = root / "etc/condor/config.d"
    for path in folder.iterdir():
        path.unlink()
    (folder / "10-test.config").write_text(config)
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost {' '.join(hosts)}\n")
    passwords = root / "etc/condor/passwords.d"
    passwords.mkdir(exist_ok=True)
    with os.fdopen(os.open(passwords / "POOL", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
        out.write(key)
    for name in ("run/condor", "run/lock/condor"):
        (root / name).mkdir(parents=True, exist_ok=True)
        run.call(["chroot", str(root), "chown", "condor:condor", f"/{name}"], env=_ENV)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tools_of_access_point(pool: Pool, folder: Path) -> None:
    """Make a folder for PATH with the access point's condor_submit_dag, run by the submitter."""
    folder.mkdir()
    pool.tools = folder
    manager = pool.manager
    script = folder / "condor_submit_dag"
    inside = 'cd "$1" && shift && exec condor_submit_dag "$@"'
    into = " ".join(manager.argv("/bin/sh", "-c", f"'{inside}'", "sh", user=SUBMITTER))
    chown = " ".join(manager.argv("chown", "-R", f"{SUBMITTER}:{SUBMITTER}"))
    home = f"env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/home/{SUBMITTER}"
    script.write_text(f'#!/bin/sh\n{chown} "$PWD" && exec {home} {into} "$PWD" "$@"\n')
    script.chmod(0o755)


def cache_with_base(store: Store, own: Path) -> Path:
    """A cache of a node's own that has the base and the downloaded packages, and nothing else."""
    (own / "bases").mkdir(parents=True)
    for path in (store.base(BASE.id), manifest_path(store.base(BASE.id))):
        shutil.copyfile(path, own / "bases" / path.name)
    shutil.copytree(store.root / "packages", own / "packages")
    return own


def _unproven(image: Path, cache: Path) -> None:
    """Make a cache that everybody may use, and that has an image without a proof."""
    for folder in (cache, cache / "images"):
        folder.mkdir()
        folder.chmod(0o777)
    shutil.copyfile(image, cache / "images" / image.name)
    manifest = json.loads(manifest_path(image).read_text())
    (cache / "images" / manifest_path(image).name).write_text(json.dumps({**manifest, "proof": {}}))
