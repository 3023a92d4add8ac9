"""A throw-away central manager and access point: a real HTCondor, run from the image under test.

So pool and worker have one version. It lives in the room's network namespace under the address
that QEMU gives the guest's gateway: what the worker dials, CCB's call back included, is the same
on both sides.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bakery import idtoken
from provisioner import run
from provisioner.errors import CommandFailed, NotProven
from provisioner.targets.chroot import mount_kernel_file_systems

ADDRESS = "10.0.2.2"
TRUST_DOMAIN = "pool.verify.invalid"
IDENTITY = "worker@cloud"
SUBMITTER = "submitter"
_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_UP_SECONDS = 60

_CONFIG = f"""\
use security:recommended_v9_0
DAEMON_LIST = MASTER, COLLECTOR, NEGOTIATOR, SCHEDD
CONDOR_HOST = {ADDRESS}
NETWORK_INTERFACE = {ADDRESS}
NETWORK_HOSTNAME = {TRUST_DOMAIN}
# The guest's connections to its gateway come out of QEMU on 127.0.0.1; the room has no other network.
BIND_ALL_INTERFACES = True
ENABLE_IPV6 = False
UID_DOMAIN = {TRUST_DOMAIN}
TRUST_DOMAIN = {TRUST_DOMAIN}
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


@dataclass(frozen=True)
class Pool:
    root: Path
    signing_key: bytes = field(repr=False)

    def worker_token(self) -> str:
        scopes = ("ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ")
        hour = 3600
        return idtoken.mint(
            self.signing_key,
            "POOL",
            issuer=TRUST_DOMAIN,
            subject=IDENTITY,
            scopes=scopes,
            lifetime=4 * hour,
        )

    def status(self, group_name: str) -> str:
        """The answer to the very query that a worker's user is told to make; "" for no worker."""
        constraint = f"WorkerGroupName == {classad_string(group_name)}"
        return self._tool("condor_status", "-pool", ADDRESS, "-const", constraint).strip()

    def submit(self, name: str, project: str, script: str) -> str:
        """Queue a script of its own as a job of this project; the job's id."""
        folder = self.root / "home" / SUBMITTER / name
        folder.mkdir(parents=True)
        (folder / "job.sh").write_text(script)
        (folder / "job.sh").chmod(0o755)
        (folder / "job.sub").write_text(_submit_file(project))
        run.call(
            ["chroot", str(self.root), "chown", "-R", SUBMITTER, f"/home/{SUBMITTER}/{name}"], env=_ENV
        )
        where = f"cd /home/{SUBMITTER}/{name} && exec condor_submit -terse job.sub"
        return self._tool("su", SUBMITTER, "-s", "/bin/sh", "-c", where).split()[0]

    def job(self, job_id: str) -> tuple[int, int]:
        """JobStatus (1 idle, 2 running, 4 completed, 5 held) and how often it was started."""
        query = ["-pool", ADDRESS, job_id, "-af", "JobStatus", "NumShadowStarts"]
        row = (
            self._tool("condor_q", *query).split()
            or self._tool("condor_history", job_id, *query[-3:]).split()
        )
        return int(row[0]), 0 if row[1] == "undefined" else int(row[1])

    def output(self, name: str) -> str:
        path = self.root / "home" / SUBMITTER / name / "job.out"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def logs(self) -> str:
        """What the collector and the schedd said last, without the queries they answered."""
        return condor_logs(self.root, ("CollectorLog", "SchedLog"))

    def _tool(self, *argv: str) -> str:
        return run.call(["chroot", str(self.root), *argv], env=_ENV, seconds=60).stdout


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
def start(image_root: Path, work: Path) -> Iterator[Pool]:
    """A pool on a writable layer over the mounted image, until the block ends. Call it in a room."""
    root = work / "pool"
    _layer(image_root, root, work)
    _join_addresses()
    key = secrets.token_bytes(64)
    _configure(root, key)
    pool = Pool(root, key)
    with run.background(["chroot", str(root), "condor_master", "-f"], log=work / "pool.log", env=_ENV):
        _wait_up(pool)
        yield pool


def _layer(image_root: Path, root: Path, work: Path) -> None:
    memory = work / "pool-layer"
    memory.mkdir()
    run.call(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(memory)])
    for folder in (memory / "upper", memory / "work", root):
        folder.mkdir()
    layers = f"lowerdir={image_root},upperdir={memory / 'upper'},workdir={memory / 'work'}"
    run.call(["mount", "-t", "overlay", "-o", layers, "overlay", str(root)])
    mount_kernel_file_systems(root)


def _join_addresses() -> None:
    run.call(["ip", "link", "set", "lo", "up"])
    run.call(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"])


def _configure(root: Path, key: bytes) -> None:
    config = root / "etc/condor/config.d"
    for path in config.iterdir():
        path.unlink()
    (config / "10-pool.config").write_text(_CONFIG)
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost\n{ADDRESS} {TRUST_DOMAIN}\n")
    signing_key = root / "etc/condor/passwords.d/POOL"
    with os.fdopen(os.open(signing_key, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
        out.write(key)
    for folder in ("run/condor", "run/lock/condor"):
        (root / folder).mkdir(parents=True, exist_ok=True)
        run.call(["chroot", str(root), "chown", "condor:condor", f"/{folder}"], env=_ENV)
    run.call(["chroot", str(root), "useradd", "--create-home", SUBMITTER], env=_ENV)


def _wait_up(pool: Pool) -> None:
    end = time.monotonic() + _UP_SECONDS
    while time.monotonic() < end:
        try:
            if pool._tool("condor_status", "-pool", ADDRESS, "-schedd", "-af", "Name").strip():
                return
        except CommandFailed:
            pass  # the collector does not listen yet
        time.sleep(0.5)
    raise NotProven(f"The throw-away pool was not up after {_UP_SECONDS} s.\n{pool.logs()}")


def _submit_file(project: str) -> str:
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
+ProjectName = {classad_string(project)}
queue
"""
