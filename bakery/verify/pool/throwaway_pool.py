"""Run a throw-away central manager and access point: HTCondor from the image under test.

Pool and worker thus have the same version. The pool's address is that of the guest's gateway in QEMU's
user network; it is the same inside and outside of a guest, which CCB needs. `start` runs the pool in the
current sandbox, `start_in_sandbox` in a new sandbox on a network for machines.
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

from bakery.machines.layer import mount_layer
from bakery.machines.network import GATEWAY, Network, on
from bakery.runtime import conditions
from bakery.runtime.conditions import Condition
from bakery.tokens import signing
from bakery.verify.pool import access_point
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
NO_COMMANDS: Mapping[str, str] = MappingProxyType({})
_ROOT = "pool"  # in the work folder
_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_UP_SECONDS = 240

_CONFIG = f"""\
use security:recommended_v9_0
DAEMON_LIST = MASTER, COLLECTOR, NEGOTIATOR, SCHEDD
CONDOR_HOST = {ADDRESS}
NETWORK_INTERFACE = {ADDRESS}
NETWORK_HOSTNAME = {TRUST_DOMAIN}
# QEMU forwards the guest's connections to its gateway to 127.0.0.1; the sandbox has no other network.
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
# A daemon that starts before the collector listens loses its first ad: the next one follows soon (300 s by
# default for the negotiator's).
SCHEDD_INTERVAL = 5
NEGOTIATOR_UPDATE_INTERVAL = 5
# The script would change kernel settings of the build machine: /proc/sys is not namespaced.
LINUX_KERNEL_TUNING_SCRIPT =
"""

# As in the OSPool: a second central manager (here on another port), and CCB brokers behind the first one's
# port that are not central managers. The negotiator queries both, and works when one does not answer.
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
    """A pool's trust domain, its daemons, and their configuration.

    `managers` and `brokers` are addresses for the worker's file; without `brokers` the managers are the
    CCB brokers.
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
class JobState:
    """A job's JobStatus, whether it was ever started, and its last rejection by the negotiator.

    `rejected_at` is in seconds since 1970, 0 for never.
    """

    status: str
    started: bool
    rejected_at: int
    reason: str

    def is_rejected(self, since: int) -> bool:
        """Return whether the negotiator found no match for the job after `since` (seconds since 1970).

        An idle job need not have been rejected: the negotiator may not have considered it yet. Raises
        NotProven: the job was started.
        """
        if self.started or self.status != IDLE:
            raise NotProven(
                f"The job was started (JobStatus {self.status}), but should have been rejected."
            )
        return self.rejected_at > since and "no match found" in self.reason


@dataclass(frozen=True)
class Pool:
    """A running pool; `manager` is the central manager that queries go to."""

    root: Path
    signing_key: bytes = field(repr=False)
    network: Network | None = None  # None: the current one
    manager: str = ADDRESS
    shape: Shape = SHAPES["plain"]

    def worker_token(self, lifetime: int = 4 * 3600) -> str:
        """Return a token to join the pool, valid for `lifetime` seconds; already expired if negative."""
        scopes = ("ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ")
        return signing.mint(
            self.signing_key,
            KEY,
            issuer=self.shape.trust_domain,
            subject=IDENTITY,
            scopes=scopes,
            lifetime=lifetime,
        )

    def status(self, name: str, name_attribute: str = GROUP) -> str:
        """Return what the query in the user's documentation prints: "" if no slot has this name."""
        return self._tool("condor_status", *self._query(name, name_attribute)).strip()

    def slot_attributes(self, name: str, *attributes: str, name_attribute: str = GROUP) -> list[str]:
        """Return these attributes, unparsed, of each slot that has this name."""
        query = self._query(name, name_attribute)
        return self._tool("condor_status", *query, "-af:r", *attributes).splitlines()

    def submit(
        self, name: str, project: str, script: str, more: Mapping[str, str] = NO_COMMANDS, count: int = 1
    ) -> str:
        """Queue a script as a job of a project ("": of none); return the id of the (first) job.

        `name` is the folder of its files; `more` are further commands of the submit file.
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
        """Return JobStatus (1 idle, 2 running, 4 completed, 5 held) and how often the job was started."""
        status, starts = self.job_attributes(job_id, "JobStatus", "NumShadowStarts")
        return int(status), 0 if starts == "undefined" else int(starts)

    def job_attributes(self, job_id: str, *attributes: str) -> list[str]:
        """Return these attributes of a job, unparsed, from the queue or the history."""
        options = ["-af:,", *attributes]
        row = (
            self._tool("condor_q", job_id, *options).strip()
            or self._tool("condor_history", job_id, *options).strip()
        )
        return [value.strip() for value in row.split(",", len(attributes) - 1)]

    def job_state(self, job_id: str) -> JobState:
        """Return a job's state in the schedd and its last rejection by the negotiator."""
        names = ("JobStatus", "NumShadowStarts", "LastRejMatchTime", "LastRejMatchReason")
        status, starts, rejected_at, reason = self.job_attributes(job_id, *names)
        at = int(rejected_at) if rejected_at.isdigit() else 0
        return JobState(status, starts != "undefined", at, reason)

    def reconfigure(self) -> None:
        """Make the daemons read their configuration again (condor_reconfig)."""
        self._tool("condor_reconfig")

    def switch(self, daemon: str, *, on: bool) -> None:
        """Start or stop a daemon (condor_on, condor_off -fast)."""
        self._tool(*(("condor_on",) if on else ("condor_off", "-fast")), "-daemon", daemon)

    def remove(self, job_id: str) -> None:
        """Remove a job from the queue, if it is still there (condor_rm)."""
        self._tool("condor_rm", job_id, expect=(0, 1))

    def output(self, name: str) -> str:
        """Return the returned output of the job `name`; "" if there is none."""
        path = self.root / "home" / SUBMITTER / name / "job.out"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def logs(self) -> str:
        """Return the last lines of the daemons' logs, without queries."""
        return condor_logs(self.root, ("MasterLog", "CollectorLog", "NegotiatorLog", "SchedLog"))

    def _tool(self, *argv: str, expect: Sequence[int] = (0,)) -> str:
        within = on(self.network, ["chroot", str(self.root), *argv])
        return run.call(within, env=_ENV, expect=expect, seconds=60).stdout

    def _query(self, name: str, name_attribute: str) -> tuple[str, ...]:
        return ("-pool", self.manager, "-const", f"{name_attribute} == {classad_string(name)}")


def condor_logs(root: Path, names: Sequence[str]) -> str:
    """Return the last lines of HTCondor's logs under a root directory, without queries and negotiation."""
    parts = []
    for name in names:
        path = root / "var/log/condor" / name
        rows = path.read_text("utf-8", "replace").splitlines() if path.exists() else ["(no such log)"]
        relevant = [row for row in rows if not re.search(r"quer(y|ies)|negotiat|rrl", row, re.IGNORECASE)]
        parts.append("\n".join([f"--- {name}", *relevant[-12:]]))
    return "\n".join(parts)


def classad_string(text: str) -> str:
    """Quote a text as a string of the ClassAd language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@contextmanager
def start(image_root: Path, work: Path, signing_key: bytes = b"", shape: str = "plain") -> Iterator[Pool]:
    """Run a pool of one of SHAPES on a writable layer over the mounted image while the block runs.

    The current sandbox must have the gateway's address. Raises NotProven: the daemons did not start.
    """
    root = work / _ROOT
    mount_layer(image_root, work / "pool-layer", root)
    mount_kernel_file_systems(root)
    key = signing_key or secrets.token_bytes(64)
    pool = Pool(root, key, shape=SHAPES[shape])
    _configure(pool)
    with run.background(["chroot", str(root), "condor_master", "-f"], log=work / "pool.log", env=_ENV):
        _wait_ready(pool)
        yield pool


@contextmanager
def start_in_sandbox(
    image_root: Path, work: Path, network: Network, shape: str = "plain"
) -> Iterator[Pool]:
    """Run a pool in a new sandbox, for the machines on this network, while the block runs.

    Raises NotProven: the daemons did not start.
    """
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
        # The root is mounted in the sandbox only; /proc/PID/root leads to it.
        root = Path(f"/proc/{sandbox.pid}/root{work / _ROOT}")
        pool = Pool(root, key, network, shape=SHAPES[shape])
        _wait_ready(pool)
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


def _wait_ready(pool: Pool) -> None:
    """Wait until the collector has the ClassAds of the access point and of the negotiator."""

    def daemons() -> set[str]:
        return set(pool._tool("condor_status", "-pool", ADDRESS, "-any", "-af", "MyType").split())

    up = Condition(
        "the throw-away pool is ready", daemons, _UP_SECONDS, {"Scheduler", "Negotiator"}.issubset
    )
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
