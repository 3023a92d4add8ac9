"""`worker health`: is this machine fit for work? HTCondor's startd asks, as its user condor.

Each check is a question with a time limit of its own (bounded.py). The answer is printed as
ClassAd attributes, and written for whoever asks inside the machine.
"""

import ctypes
import fcntl
import json
import os
import re
import subprocess
import sys
import time
from functools import partial
from typing import NamedTuple, Optional, Sequence, Tuple

from worker_runtime.system import files, paths, timed_checks
from worker_runtime.system.classad import printable, quote
from worker_runtime.system.timed_checks import Check

REPORT = paths.HEALTH
FOLDER = os.path.dirname(REPORT)  # the user condor's; worker-health.conf of tmpfiles.d
MEMORY = FOLDER + "/unanswered.json"
LOCK = FOLDER + "/lock"
CVMFS_SETTINGS = "/etc/cvmfs/default.local"
CONTAINERS = ("/usr/bin/apptainer", "/usr/bin/singularity")
CONTAINER_ROOT = FOLDER + "/container"

# Less than the 1 GiB that HTCondor gives to no job (RESERVED_DISK), so that only jobs who take
# more than was theirs, or logs, make a machine ill.
MIN_FREE = 512 << 20  # bytes
MIN_FILES = 1000  # a job's scratch folder and its transferred files
# Jobs with more threads than cores are no illness; other pools gave up lower limits for their
# false alarms. This is a machine that has been doing nothing but switching for a quarter hour.
MAX_LOAD = 20  # per CPU, over 15 minutes
WRITE_SECONDS = 10.0
KERNEL_SECONDS = 5.0  # what no device is asked for
CVMFS_SECONDS = 45.0  # the first access mounts, and may try several servers
CONTAINER_SECONDS = 45.0

_CONTAINER_OPTIONS = ("--contain", "--no-home", "--bind", "/usr:/usr:ro")
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized
_DAY = 24 * 3600
_REPOSITORIES = re.compile(r"^[ \t]*(?:export[ \t]+)?CVMFS_REPOSITORIES=(.*)$", re.MULTILINE)
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*\Z")


class Report(NamedTuple):
    healthy: bool
    status: str
    at: int  # seconds since the epoch
    remark: str  # what is worth knowing, but no reason to refuse jobs; empty if nothing is


class FreeSpace(NamedTuple):
    """What a file system has left for those who are not root."""

    free: int  # bytes
    files: Optional[int]  # None: it does not count them


def main() -> int:
    drop_privileges(FOLDER)
    with open(LOCK, "w", encoding="ascii") as lock:
        # Not flock(): the processes that we start would hold that too.
        fcntl.lockf(lock, fcntl.LOCK_EX)
        execute = os.environ.get("WORKER_EXECUTE", "/var/lib/condor/execute")
        found = timed_checks.problems(checks(execute), MEMORY)
        report = make_report(found, int(time.time()), clock_remark(kernel_clock_state()))
        files.put(REPORT, json.dumps(report._asdict()).encode("ascii"), 0o644)
    sys.stdout.write(format_attributes(report))
    return 0


def drop_privileges(folder: str) -> None:
    """Root, trying by hand, would find root's answer, and leave files that HTCondor cannot write."""
    if os.geteuid() == 0:
        owner = os.stat(folder)
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def make_report(findings: Sequence[str], at: int, remark: str) -> Report:
    return Report(not findings, "; ".join(findings) or "OK", at, remark)


def format_attributes(report: Report) -> str:
    """As ClassAd attributes, one a line."""
    status = printable(report.status)
    return "NODE_IS_HEALTHY = %s\nNODE_STATUS = %s\n" % (report.healthy, quote(status))


def checks(execute: str) -> Tuple[Check, ...]:
    """All that there is to ask about on this machine."""
    programs = [program for program in CONTAINERS if os.access(program, os.X_OK)]
    return (
        Check("execute file system", WRITE_SECONDS, partial(execute_problem, execute)),
        Check("load", KERNEL_SECONDS, load_problem),
        Check("clock", KERNEL_SECONDS, clock_problem),
        *(
            Check("CVMFS " + name, CVMFS_SECONDS, partial(cvmfs_problem, name))
            for name in repositories(_text(CVMFS_SETTINGS))
        ),
        *(
            Check("containers", CONTAINER_SECONDS, partial(container_problem, program))
            for program in programs[:1]
        ),
    )


def execute_problem(folder: str) -> Optional[str]:
    """Can jobs write here, and is there room?"""
    # Always the same name: what a hung write leaves behind is overwritten by the next.
    path = os.path.join(folder, ".worker-health")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(b"worker health\n" * 300)
        file.flush()
        os.fsync(file.fileno())
    os.unlink(path)
    status = os.statvfs(folder)
    counted = status.f_favail if status.f_files else None
    return space_problem(FreeSpace(status.f_bavail * status.f_frsize, counted))


def space_problem(room: FreeSpace) -> Optional[str]:
    if room.free < MIN_FREE:
        return "full, %d MiB are left" % (room.free >> 20)
    if room.files is not None and room.files < MIN_FILES:
        return "full, room for %d more files only" % room.files
    return None


def load_problem() -> Optional[str]:
    return high_load_problem(os.getloadavg()[2], os.cpu_count() or 1)


def high_load_problem(load: float, cpus: int) -> Optional[str]:
    if load <= MAX_LOAD * cpus:
        return None
    return "%.0f over 15 minutes, on %d CPUs" % (load, cpus)


def clock_problem() -> Optional[str]:
    """No token is valid, and no certificate, on a machine that lives in the past."""
    return early_clock_problem(time.time(), os.stat(__file__).st_mtime)


def early_clock_problem(now: float, made: float) -> Optional[str]:
    """A day's grace: file systems and firmware do not agree about time zones."""
    if now >= made - _DAY:
        return None
    return "it says %s, before this image was made" % time.strftime("%Y-%m-%d", time.gmtime(now))


def kernel_clock_state() -> int:
    """The clock's state, of adjtimex(2); asked without changing it."""
    # Larger than any struct timex. All zeros: its first field, modes, says what to set.
    return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)))


def clock_remark(state: int) -> str:
    # No gate: many good machines are so for a while after boot, or keep time in ways of their own.
    return "the clock is not synchronized" if state == _TIME_ERROR else ""


def repositories(settings: str) -> Tuple[str, ...]:
    """What CVMFS_REPOSITORIES names; nothing where only a shell could say what it means."""
    given = _REPOSITORIES.findall(settings)
    value = given[-1].split("#")[0].strip().strip("\"'") if given else ""
    names = value.replace(",", " ").split()
    return tuple(names) if all(_REPOSITORY.match(name) for name in names) else ()


def cvmfs_problem(name: str) -> Optional[str]:
    # Looking into the folder is what makes autofs mount it.
    return None if os.listdir("/cvmfs/" + name) else "is empty"


def container_problem(program: str) -> Optional[str]:
    """Can it run a container? One of this machine's own /usr, so that nothing is fetched."""
    container_root(CONTAINER_ROOT)
    done = subprocess.run(
        [program, "--silent", "exec", *_CONTAINER_OPTIONS, CONTAINER_ROOT, "/bin/true"],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    if done.returncode == 0:
        return None
    said = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
    return said or "%s ended with status %d" % (os.path.basename(program), done.returncode)


def container_root(root: str) -> None:
    """A root directory that has nothing but places for mounts. (apptainer refuses / itself.)"""
    for folder in ("dev", "etc", "proc", "sys", "tmp", "usr", "var/tmp"):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    for name in ("bin", "lib", "lib64"):
        link = os.path.join(root, name)
        if not os.path.lexists(link):
            os.symlink("usr/" + name, link)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""
