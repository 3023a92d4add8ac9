"""`worker health`: checks that this machine is fit for work. HTCondor's startd runs it as user condor.

Each check has a time limit of its own (system/timed_checks.py). The result is printed as ClassAd
attributes, and written to a report for use inside the machine.
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
FOLDER = os.path.dirname(REPORT)  # owned by condor, see tmpfiles.d/worker-health.conf
MEMORY = FOLDER + "/unanswered.json"
LOCK = FOLDER + "/lock"
CVMFS_SETTINGS = "/etc/cvmfs/default.local"
CONTAINERS = ("/usr/bin/apptainer", "/usr/bin/singularity")
CONTAINER_ROOT = FOLDER + "/container"

# Less than the 1 GiB that HTCondor reserves (RESERVED_DISK), so that only logs, or jobs that exceed their
# share, make a machine unhealthy.
MIN_FREE = 512 << 20  # bytes
MIN_FILES = 1000  # a job's scratch folder and its transferred files
# Jobs with more threads than cores are acceptable, and other pools gave up lower limits because of false
# alarms. At this limit a machine has only been switching between processes for 15 minutes.
MAX_LOAD = 20  # per CPU, over 15 minutes
WRITE_SECONDS = 10.0
KERNEL_SECONDS = 5.0  # for checks that use no device
CVMFS_SECONDS = 45.0  # the first access mounts, and may try several servers
CONTAINER_SECONDS = 45.0

_CONTAINER_OPTIONS = ("--contain", "--no-home", "--bind", "/usr:/usr:ro")
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized
_DAY = 24 * 3600
_REPOSITORIES = re.compile(r"^[ \t]*(?:export[ \t]+)?CVMFS_REPOSITORIES=(.*)$", re.MULTILINE)
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*\Z")


class Report(NamedTuple):
    """The result of all checks."""

    healthy: bool
    status: str
    at: int  # seconds since the epoch
    remark: str  # worth knowing, but no reason to reject jobs; may be empty


class FreeSpace(NamedTuple):
    """What a file system has left for users other than root."""

    free: int  # bytes
    files: Optional[int]  # None: the file system does not count them


def main() -> int:
    """Run the checks, write the report and print the attributes."""
    drop_privileges(FOLDER)
    with open(LOCK, "w", encoding="ascii") as lock:
        # Not flock(), whose lock the started processes would inherit.
        fcntl.lockf(lock, fcntl.LOCK_EX)
        execute = os.environ.get("WORKER_EXECUTE", "/var/lib/condor/execute")
        found = timed_checks.problems(checks(execute), MEMORY)
        report = make_report(found, int(time.time()), clock_remark(kernel_clock_state()))
        files.put(REPORT, json.dumps(report._asdict()).encode("ascii"), 0o644)
    sys.stdout.write(format_attributes(report))
    return 0


def drop_privileges(folder: str) -> None:
    """Continue as the owner of the directory, if started as root.

    Root would get other results and leave files that HTCondor cannot write.
    """
    if os.geteuid() == 0:
        owner = os.stat(folder)
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def make_report(findings: Sequence[str], at: int, remark: str) -> Report:
    """The report of these problems; `at` in seconds since 1970."""
    return Report(not findings, "; ".join(findings) or "OK", at, remark)


def format_attributes(report: Report) -> str:
    """The report as ClassAd attributes, one on each line."""
    status = printable(report.status)
    return "NODE_IS_HEALTHY = %s\nNODE_STATUS = %s\n" % (report.healthy, quote(status))


def checks(execute: str) -> Tuple[Check, ...]:
    """All checks that apply to this machine."""
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
    """Why jobs cannot write to the execute directory, or find too little space there."""
    # Always the same name, so that the next run overwrites what a hung write leaves behind.
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
    """Why the free space is not enough."""
    if room.free < MIN_FREE:
        return "full, %d MiB are left" % (room.free >> 20)
    if room.files is not None and room.files < MIN_FILES:
        return "full, room for %d more files only" % room.files
    return None


def load_problem() -> Optional[str]:
    """Why the load of this machine is too high."""
    return high_load_problem(os.getloadavg()[2], os.cpu_count() or 1)


def high_load_problem(load: float, cpus: int) -> Optional[str]:
    """Why this load over 15 minutes is too high for so many CPUs."""
    if load <= MAX_LOAD * cpus:
        return None
    return "%.0f over 15 minutes, on %d CPUs" % (load, cpus)


def clock_problem() -> Optional[str]:
    """Whether the clock is in the past, in which no token and no certificate is valid."""
    return early_clock_problem(time.time(), os.stat(__file__).st_mtime)


def early_clock_problem(now: float, made: float) -> Optional[str]:
    """The clock must not be earlier than the image, with a day's tolerance for errors of time zones."""
    if now >= made - _DAY:
        return None
    return "it shows %s, before the image was built" % time.strftime("%Y-%m-%d", time.gmtime(now))


def kernel_clock_state() -> int:
    """The state of the clock by adjtimex(2), without changing it."""
    # Larger than any struct timex. The first field, modes, says what to set: 0 for nothing.
    return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)))


def clock_remark(state: int) -> str:
    # Only a remark: many machines are not synchronized for a while after boot, or keep time by other means.
    """What is worth knowing about the state of the clock."""
    return "the clock is not synchronized" if state == _TIME_ERROR else ""


def repositories(settings: str) -> Tuple[str, ...]:
    """The names in CVMFS_REPOSITORIES; empty if only a shell could evaluate the setting."""
    settings_found = _REPOSITORIES.findall(settings)
    value = settings_found[-1].split("#")[0].strip().strip("\"'") if settings_found else ""
    names = value.replace(",", " ").split()
    return tuple(names) if all(_REPOSITORY.match(name) for name in names) else ()


def cvmfs_problem(name: str) -> Optional[str]:
    # Listing the directory makes autofs mount the repository.
    """Why the repository is not usable."""
    return None if os.listdir("/cvmfs/" + name) else "is empty"


def container_problem(program: str) -> Optional[str]:
    """Why the program cannot run a container.

    The image is this machine's /usr, so nothing is downloaded.
    """
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
    message = done.stderr.decode("utf-8", "replace").strip().split("\n")[-1]
    return message or "%s ended with status %d" % (os.path.basename(program), done.returncode)


def container_root(root: str) -> None:
    """Create a root directory that contains only mount points. (apptainer does not accept / itself.)"""
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
