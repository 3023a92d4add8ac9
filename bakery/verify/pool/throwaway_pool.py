"""A throw-away central manager and access point: a real HTCondor, run from the image under test.

So pool and worker have one version. It has the address that QEMU gives the guest's gateway: what
the worker dials, CCB's call back included, is the same on both sides. `start` runs it where we are,
in a sandbox; `beside` in a sandbox of its own on a network for machines.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from bakery.machines import conditions
from bakery.machines.conditions import Condition
from bakery.machines.layer import mount_layer
from bakery.machines.network import GATEWAY, Network, on
from bakery.verify.pool import access_point, idtoken
from provisioner.errors import NotProven
from provisioner.process import run
from provisioner.targets.chroot import mount_kernel_file_systems

ADDRESS = GATEWAY
TRUST_DOMAIN = "pool.verify.invalid"
IDENTITY = "worker@cloud"
SUBMITTER = "submitter"
GROUP = "WorkerGroupName"
IDLE, RUNNING, COMPLETED, HELD = "1", "2", "4", "5"  # JobStatus
KEY = "POOL"  # the name of the signing key, and of its file
NOTHING: Mapping[str, str] = MappingProxyType({})
_ROOT = "pool"  # in the work folder
_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_UP_SECONDS = 240

_CONFIG = f"""\
use security:recommended_v9_0
DAEMON_LIST = MASTER, COLLECTOR, NEGOTIATOR, SCHEDD
CONDOR_HOST = {ADDRESS}
NETWORK_INTERFACE = {ADDRESS}
NETWORK_HOSTNAME = {TRUST_DOMAIN}
# The guest's connections to its gateway come out of QEMU on 127.0.0.1; the sandbox has no other network.
BIND_ALL_INTERFACES = True
ENABLE_IPV6 = False
UID_DOMAIN = {TRUST_DOMAIN}
ALLOW_ADVERTISE_STARTD = $(ALLOW_DAEMON) {IDENTITY}
ALLOW_ADVERTISE_MASTER = $(ALLOW_DAEMON) {IDENTITY}
ALLOW_READ = *
ALLOW_WRITE = *
NEGOTIATOR_INTERVAL = 5
NEGOTIATOR_CYCLE_DELAY = 1
NEGOTIATOR_MIN_INTERVAL = 1
SCHEDD_INTERVAL = 5
# It would change the build machine's kernel settings: /proc/sys is not namespaced.
LINUX_KERNEL_TUNING_SCRIPT =
"""

# As the OSPool is: a second manager (here behind a port of its own), and brokers that are no managers,
# behind the first one's port. The negotiator asks either manager, so it works on when one is gone.
SECOND = f"{ADDRESS}:9619"
BROKERS = tuple(f"{ADDRESS}:9618?sock=broker{number}" for number in (1, 2))
_LIKE_OSPOOL = f"""\
COLLECTOR_HOST = {ADDRESS},{SECOND}
DAEMON_LIST = $(DAEMON_LIST), MANAGER2, BROKER1, BROKER2
MANAGER2 = $(COLLECTOR)
MANAGER2_ARGS = -f -p 9619 -local-name MANAGER2
MANAGER2_ENVIRONMENT = "_CONDOR_USE_SHARED_PORT=False"
MANAGER2.COLLECTOR_LOG = $(LOG)/Manager2Log
""" + "".join(
    f"""\
BROKER{number} = $(COLLECTOR)
BROKER{number}_ARGS = -f -sock broker{number} -local-name BROKER{number}
BROKER{number}.COLLECTOR_LOG = $(LOG)/Broker{number}Log
"""
    for number in (1, 2)
)


@dataclass(frozen=True)
class Shape:
    """Which daemons a pool has, and whose it says it is.

    `managers` are addresses as a worker is told them; without `brokers` the managers are.
    """

    trust_domain: str
    managers: tuple[str, ...]
    brokers: tuple[str, ...] = ()
    config: str = ""


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "plain": Shape(TRUST_DOMAIN, (ADDRESS,)),
        "ospool": Shape(
            "flock.opensciencegrid.org", (ADDRESS, SECOND), BROKERS, _LIKE_OSPOOL + access_point.CONFIG
        ),
    }
)


@dataclass(frozen=True)
class Seen:
    """A job's JobStatus, whether it was ever started, and when and why it found no match last.

    `rejected` is in seconds since 1970, 0 for never.
    """

    status: str
    started: bool
    rejected: int
    why: str

    def is_refused(self, since: int) -> bool:
        """Has the negotiator found no match for it after that moment?

        That a job is idle says little: it is, too, when nobody has asked for it yet. Raises NotProven
        if it was started.
        """
        if self.started or self.status != IDLE:
            raise NotProven(f"The job was started (JobStatus {self.status}), and was to be refused.")
        return self.rejected > since and "no match found" in self.why


@dataclass(frozen=True)
class Pool:
    root: Path
    signing_key: bytes = field(repr=False)
    network: Network | None = None  # by default ours
    manager: str = ADDRESS  # which one is asked
    shape: Shape = SHAPES["plain"]

    def worker_token(self, lifetime: int = 4 * 3600) -> str:
        """Good for joining, for so many seconds; expired already, if negative."""
        scopes = ("ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ")
        return idtoken.mint(
            self.signing_key,
            KEY,
            issuer=self.shape.trust_domain,
            subject=IDENTITY,
            scopes=scopes,
            lifetime=lifetime,
        )

    def status(self, name: str, found_by: str = GROUP) -> str:
        """The answer to the very query that a worker's user is told to make; "" for no worker."""
        return self._tool("condor_status", *self._query(name, found_by)).strip()

    def ads(self, name: str, *attributes: str, found_by: str = GROUP) -> list[str]:
        """These attributes of the slots that are found by this name, unparsed, a line a slot."""
        query = self._query(name, found_by)
        return self._tool("condor_status", *query, "-af:r", *attributes).splitlines()

    def submit(
        self, name: str, project: str, script: str, more: Mapping[str, str] = NOTHING, count: int = 1
    ) -> str:
        """Queue a script of its own as a job of this project, or of none; the (first) job's id.

        `more` are further commands of the submit file.
        """
        home = f"/home/{SUBMITTER}/{name}"
        folder = self.root / home[1:]
        folder.mkdir(parents=True)
        (folder / "job.sh").write_text(script)
        (folder / "job.sh").chmod(0o755)
        (folder / "job.sub").write_text(_submit_file(project, more, count))
        self._tool("chown", "-R", SUBMITTER, home)
        where = f"cd {home} && exec condor_submit -terse job.sub"
        return self._tool("su", SUBMITTER, "-s", "/bin/sh", "-c", where).split()[0]

    def job(self, job_id: str) -> tuple[int, int]:
        """JobStatus (1 idle, 2 running, 4 completed, 5 held) and how often it was started."""
        status, starts = self.about(job_id, "JobStatus", "NumShadowStarts")
        return int(status), 0 if starts == "undefined" else int(starts)

    def about(self, job_id: str, *attributes: str) -> list[str]:
        """These attributes of a job in the queue, or of one that has left it."""
        told = ["-af:,", *attributes]
        row = (
            self._tool("condor_q", job_id, *told).strip()
            or self._tool("condor_history", job_id, *told).strip()
        )
        return [value.strip() for value in row.split(",", len(attributes) - 1)]

    def seen(self, job_id: str) -> Seen:
        """How the negotiator and the schedd have dealt with a job."""
        names = ("JobStatus", "NumShadowStarts", "LastRejMatchTime", "LastRejMatchReason")
        status, starts, when, why = self.about(job_id, *names)
        return Seen(status, starts != "undefined", int(when) if when.isdigit() else 0, why)

    def reconfigure(self) -> None:
        """Have its daemons read their configuration again."""
        self._tool("condor_reconfig")

    def switch(self, daemon: str, *, on: bool) -> None:
        """Have one of its daemons end at once, or start again."""
        self._tool(*(("condor_on",) if on else ("condor_off", "-fast")), "-daemon", daemon)

    def remove(self, job_id: str) -> None:
        """Take a job off its worker and out of the queue, if it is still there."""
        self._tool("condor_rm", job_id, expect=(0, 1))

    def output(self, name: str) -> str:
        path = self.root / "home" / SUBMITTER / name / "job.out"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def logs(self) -> str:
        """What the collector and the schedd said last, without the queries they answered."""
        return condor_logs(self.root, ("CollectorLog", "SchedLog"))

    def _tool(self, *argv: str, expect: Sequence[int] = (0,)) -> str:
        within = on(self.network, ["chroot", str(self.root), *argv])
        return run.call(within, env=_ENV, expect=expect, seconds=60).stdout

    def _query(self, name: str, found_by: str) -> tuple[str, ...]:
        return ("-pool", self.manager, "-const", f"{found_by} == {classad_string(name)}")


def condor_logs(root: Path, names: Sequence[str]) -> str:
    """The last telling lines of HTCondor's logs under a root directory."""
    shown = []
    for name in names:
        path = root / "var/log/condor" / name
        rows = path.read_text("utf-8", "replace").splitlines() if path.exists() else ["(no such log)"]
        telling = [row for row in rows if not re.search(r"quer(y|ies)|negotiat|rrl", row, re.IGNORECASE)]
        shown.append("\n".join([f"--- {name}", *telling[-12:]]))
    return "\n".join(shown)


def classad_string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@contextmanager
def start(image_root: Path, work: Path, signing_key: bytes = b"", shape: str = "plain") -> Iterator[Pool]:
    """A pool of one of SHAPES on a writable layer over the mounted image, until the block ends.

    Call it in a sandbox that has the gateway's address.
    """
    root = work / _ROOT
    mount_layer(image_root, work / "pool-layer", root)
    mount_kernel_file_systems(root)
    key = signing_key or secrets.token_bytes(64)
    pool = Pool(root, key, shape=SHAPES[shape])
    _configure(pool)
    with run.background(["chroot", str(root), "condor_master", "-f"], log=work / "pool.log", env=_ENV):
        _wait_up(pool)
        yield pool


@contextmanager
def beside(image_root: Path, work: Path, network: Network, shape: str = "plain") -> Iterator[Pool]:
    """A pool in a sandbox of its own, for the machines on this network; the sandbox's end is the pool's."""
    key = secrets.token_bytes(64)
    command = [
        sys.executable,
        "-P",
        "-m",
        "bakery.verify.pool.throwaway_pool",
        str(image_root),
        str(work),
        shape,
    ]
    argv = network.argv(run.sandbox_argv(command))
    with run.background(argv, log=work / "sandbox.log", env=run.environment()) as sandbox:
        assert sandbox.stdin
        sandbox.stdin.write(key)
        sandbox.stdin.close()
        # The sandbox's mounts are not ours, but the kernel lets us through.
        root = Path(f"/proc/{sandbox.pid}/root{work / _ROOT}")
        pool = Pool(root, key, network, shape=SHAPES[shape])
        _wait_up(pool)
        yield pool


def _configure(pool: Pool) -> None:
    root = pool.root
    config = root / "etc/condor/config.d"
    for path in config.iterdir():
        path.unlink()
    trust_domain = f"TRUST_DOMAIN = {pool.shape.trust_domain}\n"
    (config / "10-pool.config").write_text(_CONFIG + trust_domain + pool.shape.config)
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{ADDRESS} {TRUST_DOMAIN}\n")
    signing_key = root / "etc/condor/passwords.d" / KEY
    with os.fdopen(os.open(signing_key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
        out.write(pool.signing_key)
    for folder in ("run/condor", "run/lock/condor"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        run.call(["chroot", str(root), "chown", "condor:condor", f"/{folder}"], env=_ENV)
    run.call(["chroot", str(root), "useradd", "--create-home", SUBMITTER], env=_ENV)


def _wait_up(pool: Pool) -> None:
    """Until the collector answers and has the access point's ad, and the negotiator's."""

    def daemons() -> set[str]:
        return set(pool._tool("condor_status", "-pool", ADDRESS, "-any", "-af", "MyType").split())

    up = Condition("the throw-away pool is up", daemons, _UP_SECONDS, {"Scheduler", "Negotiator"}.issubset)
    try:
        conditions.wait(up)
    except NotProven as error:
        raise NotProven(f"{error.message}\n{pool.logs()}") from None


def _submit_file(project: str, more: Mapping[str, str], count: int) -> str:
    of_project = {"+ProjectName": classad_string(project)} if project else {}
    lines = "".join(f"{name} = {value}\n" for name, value in {**of_project, **more}.items())
    return f"""\
executable = job.sh
output = job.out
error = job.err
log = job.log
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
request_cpus = 1
request_memory = 64
request_disk = 10240
{lines}queue {count}
"""


if __name__ == "__main__":
    with start(Path(sys.argv[1]), Path(sys.argv[2]), sys.stdin.buffer.read(), sys.argv[3]):
        signal.pause()
