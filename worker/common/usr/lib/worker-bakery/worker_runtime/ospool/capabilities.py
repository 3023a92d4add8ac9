"""`worker ospool`: advertises what this machine offers to the OSPool's jobs.

HTCondor's startd runs it as user condor. Every capability is tested, within a time limit of its own
(system/timed_checks.py), and only successful tests are advertised. The names and their meaning are those of
the OSPool's pilots, in the files that ospool.json lists; docs/ospool.md compares them one by one.
"""

import fcntl
import json
import os
import platform
import pwd
import resource
import shutil
import sys
import time
import urllib.request
from functools import partial
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

from worker_runtime.configuration import kind
from worker_runtime.jobs import health
from worker_runtime.ospool import cached_checks, distribution, pilot_attributes
from worker_runtime.ospool.cached_checks import CachedCheck
from worker_runtime.system import files
from worker_runtime.system.classad import printable, quote
from worker_runtime.system.command import Completed, run
from worker_runtime.system.timed_checks import Check, Detail

RESULTS = health.FOLDER + "/ospool.json"
UNANSWERED = health.FOLDER + "/ospool-unanswered.json"
LOCK = health.FOLDER + "/ospool-lock"
CONTAINER_ROOT = health.FOLDER + "/ospool-container"
SIF = "/usr/libexec/condor/exit_37.sif"
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

HOUR = 3600
PROGRAM_SECONDS = 20.0
PORT_SECONDS = 20.0
REGISTRY_SECONDS = 90.0
# apptainer unpacks images and keeps its cache on the file system of the job files.
MIN_FOR_IMAGES = 5 << 30  # bytes

# Attribute -> a command that must exit with status 0.
PROGRAMS = {
    "HAS_TIMEOUT": ("timeout", "--version"),
    "HAS_unsquashfs": ("unsquashfs", "-version"),
    "HAS_XRDCP": ("xrdcp", "--version"),
    "HAS_GCC": ("gcc", "--version"),
    "HAS_GPP": ("g++", "--version"),
    "HAS_R": ("R", "--version"),
    "HAS_PYTHON": ("python", "--version"),
    "HAS_PYTHON3": ("python3", "--version"),
    "HAS_NUMPY": ("python3", "-c", "import numpy, scipy.stats"),
}
# The settings of Open MPI 4 and 5 that allow more processes than CPUs.
_OVERSUBSCRIBE = {
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
# Old releases of unsquashfs exit with another status after printing their version.
_ANY_STATUS = ("HAS_unsquashfs",)


def main() -> int:
    """Run the checks that are due and print all attributes."""
    pool = kind.load().ospool
    if not pool:
        return 0
    health.drop_privileges(health.FOLDER)
    os.environ["PATH"] = PATH
    with open(LOCK, "w", encoding="ascii") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        results = cached_checks.run(checks(pool), int(time.time()), RESULTS, UNANSWERED)
    execute = os.environ.get("WORKER_EXECUTE", "/var/lib/condor/execute")
    sys.stdout.write(
        format_attributes(
            {**machine_attributes(execute), **pilot_attributes.attributes(results, pool, last_health())}
        )
    )
    return 0


def format_attributes(attributes: Mapping[str, str]) -> str:
    """The attributes, one on each line."""
    rows = ("%s = %s" % row for row in sorted(attributes.items()))
    return "".join(printable(row) + "\n" for row in rows)


# --- Tests ----------------------------------------------------------------------------------------


def checks(pool: Mapping[str, Any]) -> Tuple[CachedCheck, ...]:
    """All checks that apply to this machine."""
    apptainer = next((path for path in health.CONTAINERS if os.access(path, os.X_OK)), "")
    host = pool["network_test"]
    ports = [_check("port %d" % port, PORT_SECONDS, port_problem, host, port) for port in pool["ports"]]
    mounts_of = [
        _check("CVMFS " + name, health.CVMFS_SECONDS, cvmfs_problem, name) for name in repositories(pool)
    ]
    programs = [_check(name, PROGRAM_SECONDS, program_problem, name) for name in PROGRAMS]
    return (
        *(CachedCheck(check, 4 * HOUR, HOUR) for check in ports),
        *(CachedCheck(check, 0, HOUR // 4) for check in mounts_of),
        *(
            CachedCheck(check, 4 * HOUR, HOUR)
            for check in (*programs, _check("MPI", PROGRAM_SECONDS, mpi_problem))
        ),
        *(containers(apptainer, pool["registry_image"]) if apptainer else ()),
    )


def containers(apptainer: str, image: str) -> Tuple[CachedCheck, ...]:
    """The checks of apptainer."""
    seconds = health.CONTAINER_SECONDS
    return (
        CachedCheck(_check("containers", seconds, container_problem, apptainer), HOUR, 0),
        CachedCheck(_check("SIF images", seconds, sif_problem, apptainer), HOUR, 0),
        CachedCheck(
            _check("images of a registry", REGISTRY_SECONDS, registry_problem, apptainer, image),
            4 * HOUR,
            HOUR,
        ),
    )


def _check(name: str, seconds: float, ask: Callable[..., Optional[str]], *about: Any) -> Check:
    return Check(name, seconds, partial(ask, *about))


def port_problem(host: str, port: int) -> Optional[str]:
    """Why this port of the outside is not reachable; by HTTP without a proxy, as the pilots test it."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open("http://%s:%d/" % (host, port), timeout=PORT_SECONDS - 5):
            return None
    except OSError as error:  # includes HTTP errors such as 404, which fail for the pilots, too
        return str(getattr(error, "reason", error)) or type(error).__name__


def repositories(pool: Mapping[str, Any]) -> Tuple[str, ...]:
    """The repositories configured here and those that pilots test; empty without CVMFS."""
    if not is_mounted(files.read_text("/proc/self/mounts")):
        return ()
    own = health.repositories(files.read_text(health.CVMFS_SETTINGS))
    return tuple(sorted({*own, *pool["cvmfs"]}))


def is_mounted(mounts: str) -> bool:
    """Whether anything is mounted at /cvmfs. (The path itself is not used, because it may hang.)"""
    points = (row.split(" ")[1] for row in mounts.splitlines() if " " in row)
    return any(point == "/cvmfs" or point.startswith("/cvmfs/") for point in points)


def cvmfs_problem(name: str) -> Optional[str]:
    """Why the repository is not readable; or its revision, number of errors and time of the last error."""
    folder = "/cvmfs/" + name
    if not os.listdir(folder):
        return "is empty"
    counters = [
        _number(folder, "user." + about) for about in ("revision", "nioerr", "timestamp_last_ioerr")
    ]
    return Detail(json.dumps(counters))


def _number(path: str, attribute: str) -> Optional[int]:
    """The number in an extended attribute; None unless CVMFS's client has mounted the file system."""
    try:
        return int(os.getxattr(path, attribute))
    except (OSError, ValueError):
        return None


def program_problem(name: str) -> Optional[str]:
    """Why the program of this attribute does not work; or its version."""
    argv = PROGRAMS[name]
    if not shutil.which(argv[0]):
        return "not installed"
    done = run(argv, PROGRAM_SECONDS - 5, merge_stderr=True)
    if done.status != 0 and name not in _ANY_STATUS:
        return "exited with status %d" % done.status
    return Detail(done.out.split("\n")[0].replace('"', "").strip())


def mpi_problem() -> Optional[str]:
    """Why mpirun cannot run two processes, on any number of CPUs."""
    if not shutil.which("mpirun"):
        return "mpirun is not installed"
    done = run(["mpirun", "-np", "2", "/bin/true"], PROGRAM_SECONDS - 5, env=_OVERSUBSCRIBE)
    return None if done.status == 0 else done.error or "mpirun exited with status %d" % done.status


def container_problem(apptainer: str) -> Optional[str]:
    """Why no container runs with a bind mount that the image has no directory for (overlay or underlay)."""
    health.container_root(CONTAINER_ROOT)
    bound = ("--contain", "--no-home", "--bind", "/usr:/usr:ro", "--bind", "/tmp:/worker/test")
    argv = [apptainer, "--silent", "exec", *bound, CONTAINER_ROOT, "/bin/test", "-d", "/worker/test"]
    return _status_problem(run(argv, health.CONTAINER_SECONDS - 5), 0)


def sif_problem(apptainer: str) -> Optional[str]:
    """Why HTCondor's own test image, which only exits with status 37, does not run."""
    if not os.path.exists(SIF):
        return "%s does not exist" % SIF
    argv = [apptainer, "exec", "--contain", "--no-home", SIF, "/exit_37"]
    done = run(argv, health.CONTAINER_SECONDS - 5)
    if "temporary sandbox" in done.err:
        return "each image would be unpacked first (/dev/fuse or squashfuse is missing)"
    return _status_problem(done, 37)


def registry_problem(apptainer: str, image: str) -> Optional[str]:
    """Why apptainer cannot run an image of a registry."""
    argv = [apptainer, "--silent", "exec", "--disable-cache", "--contain", "--no-home", image, "/bin/true"]
    scratch = {"APPTAINER_TMPDIR": health.FOLDER, "HOME": health.FOLDER}
    return _status_problem(run(argv, REGISTRY_SECONDS - 5, env=scratch), 0)


def _status_problem(done: Completed, expected: int) -> Optional[str]:
    if done.status == expected:
        return None
    return done.err.strip().split("\n")[-1] or "exited with status %d" % done.status


# --- Attributes without a test --------------------------------------------------------------------


def machine_attributes(execute: str) -> Dict[str, str]:
    """The system, the processor and everything else that needs no test."""
    kernel = platform.release()
    system = distribution.system_name(distribution.os_release(files.read_text("/etc/os-release")))
    number = distribution.kernel_number(kernel)
    found = dict(distribution.cpu_flags(files.read_text("/proc/cpuinfo")))
    for prefix in ("OSG_OS_", "OSGVO_OS_"):  # the second is older and used by jobs
        found[prefix + "KERNEL"] = quote(kernel)
        if system:
            name, _, version = system.partition(" ")
            found.update({prefix + "NAME": quote(name), prefix + "VERSION": quote(version)})
            found[prefix + "STRING"] = quote(system)
    if number:
        found["OSG_HOST_KERNEL_VERSION"] = str(number)
    return {**found, **limit_attributes(execute), **container_program_attributes()}


def limit_attributes(execute: str) -> Dict[str, str]:
    """Limits of the system, accounts and free space."""
    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    shared, room = os.statvfs("/dev/shm"), os.statvfs(execute)
    mapped = str(_has_account("slot1"))
    virtual = run(["systemd-detect-virt"], PROGRAM_SECONDS).out.strip()
    return {
        "ULIMIT_STACK_SIZE": str(-1 if stack == resource.RLIM_INFINITY else stack >> 10),
        "SHM_AVAILABLE": str(shared.f_blocks * shared.f_frsize >> 10),
        "SINGULARITY_DISK_IS_FULL": str(room.f_bavail * room.f_frsize < MIN_FOR_IMAGES),
        "UID_MAPPED": mapped,
        "MappedUser": mapped,
        "MinimalHome": str(len(os.listdir("/home")) <= 1),
        **({"VIRTUALIZATION_TECHNOLOGY": quote(virtual)} if virtual else {}),
    }


def _has_account(name: str) -> bool:
    """Whether the account exists; jobs run under the accounts of their slots (jobs/resources.py)."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def container_program_attributes() -> Dict[str, str]:
    """The path and the version of apptainer."""
    apptainer = next((path for path in health.CONTAINERS if os.access(path, os.X_OK)), "")
    if not apptainer:
        return {}
    version = run([apptainer, "--version"], PROGRAM_SECONDS).out.split()
    known = {"SINGULARITY_VERSION": quote(version[-1])} if version else {}
    return {"SINGULARITY_PATH": quote(apptainer), **known}


def last_health() -> str:
    """The status of the last health report; "" if there is none yet."""
    try:
        with open(health.REPORT, encoding="ascii") as file:
            return str(json.load(file)["status"])
    except (OSError, ValueError):
        return ""
