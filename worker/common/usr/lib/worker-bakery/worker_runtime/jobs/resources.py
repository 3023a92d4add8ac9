"""`worker resources`: what HTCondor has to know of this machine's size, before it starts.

An account for each slot, so that HTCondor can end all that a job has started, by its owner; and
the memory that no job gets. Run again, it changes nothing that is right already.
"""

import os
import pwd
import subprocess
from typing import List

from worker_runtime.system import files, paths
from worker_runtime.system.command import run
from worker_runtime.system.console import log

CONFIG_FILE = paths.CONFIG_DIR + "/81-worker-resources.config"
HEAD = "# Written by `worker resources` at each start of HTCondor.\n"
# slot0 is for whichever slot has no account of its own: NOBODY_SLOT_USER in 30-worker-jobs.config.
ACCOUNT = "slot%d"

SECONDS = 60  # for HTCondor to say what its configuration is
# The kernel, systemd, ssh and HTCondor's daemons; then a starter, and its shadows in the kernel,
# for each slot. In MiB.
FOR_SYSTEM = 256
FOR_EACH_CPU = 32


def main() -> int:
    return prepare(os.cpu_count() or 1, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20)


def prepare(detected: int, memory: int) -> int:
    """Accounts and reserve for so many CPUs, or as many as the site says, and so many MiB."""
    cpus = slot_count(detected, run(["condor_config_val", "NUM_CPUS"], SECONDS).out)
    try:
        for number in range(cpus + 1):
            create_account(ACCOUNT % number)
        files.put(CONFIG_FILE, render(cpus, memory).encode("ascii"), 0o644)
    except (OSError, subprocess.CalledProcessError) as error:
        log("HTCondor cannot start without accounts for its jobs: %s" % error)
        return 1
    return 0


def slot_count(detected: int, configured: str) -> int:
    """How many jobs there can be at once: a job has a CPU at least. A site may say NUM_CPUS = …."""
    return max(detected, int(configured)) if configured.strip().isdigit() else detected


def render(cpus: int, memory: int) -> str:
    """The whole of 81-worker-resources.config; memory in MiB."""
    lines = ["RESERVED_MEMORY = %d" % reserved_memory(cpus, memory)]
    # The partitionable slot is slot1; those that jobs get are slot1_1 and so on. A job asks for
    # one CPU at least, and numbers are given anew, so that there are no more than CPUs.
    lines += ["SLOT1_%d_USER = %s" % (n, ACCOUNT % n) for n in range(1, cpus + 1)]
    return HEAD + "\n".join(lines) + "\n"


def reserved_memory(cpus: int, memory: int) -> int:
    """MiB that no job gets; never more than a quarter, so that a small machine still works."""
    return min(FOR_SYSTEM + FOR_EACH_CPU * cpus, memory // 4)


def create_account(name: str) -> None:
    """An account nobody can log in to, without a home. Raises CalledProcessError."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        subprocess.check_call(useradd_command(name))


def useradd_command(name: str) -> List[str]:
    flags = ["--system", "--user-group", "--no-create-home"]
    return ["useradd", *flags, "--home-dir=/nonexistent", "--shell=/usr/sbin/nologin", name]
