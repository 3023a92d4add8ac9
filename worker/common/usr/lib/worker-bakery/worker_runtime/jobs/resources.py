"""`worker resources`: creates accounts for the slots and reserves memory, before HTCondor starts.

With one account for each slot, HTCondor can end all processes of a job by their owner. The reserved memory
is not available to jobs. Another run changes nothing that is right already.
"""

import os
import pwd
import subprocess
from typing import List

from worker_runtime.system import files, paths
from worker_runtime.system.command import run
from worker_runtime.system.console import log

CONFIG_NAME = "81-worker-resources.config"
HEAD = "# Written by `worker resources` at each start of HTCondor.\n"
# slot0 is for slots without an account of their own: NOBODY_SLOT_USER in 30-worker-jobs.config.
ACCOUNT = "slot%d"

SECONDS = 60  # for condor_config_val
# In MiB: the kernel, systemd, ssh and HTCondor's daemons; and a starter for each CPU.
FOR_SYSTEM = 256
FOR_EACH_CPU = 32


def main() -> int:
    """Prepare for this machine; the exit status."""
    return prepare(os.cpu_count() or 1, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20)


def prepare(detected: int, memory: int) -> int:
    """Create the accounts and write the reserved memory; the exit status.

    `detected` is the number of CPUs unless the site configures another one, `memory` is in MiB.
    """
    cpus = slot_count(detected, run(["condor_config_val", "NUM_CPUS"], SECONDS).out)
    try:
        for number in range(cpus + 1):
            create_account(ACCOUNT % number)
        files.put(paths.written_config(CONFIG_NAME), render(cpus, memory).encode("ascii"), 0o644)
    except (OSError, subprocess.CalledProcessError) as error:
        log("HTCondor cannot start without accounts for its jobs: %s" % error)
        log("where accounts cannot be created, limit the number of CPUs to %d" % (existing_accounts() - 1))
        return 1
    return 0


def slot_count(detected: int, configured: str) -> int:
    """The maximum number of jobs at once: each job has at least one CPU. A site may set NUM_CPUS."""
    return max(detected, int(configured)) if configured.strip().isdigit() else detected


def render(cpus: int, memory: int) -> str:
    """The content of 81-worker-resources.config; `memory` in MiB."""
    lines = ["RESERVED_MEMORY = %d" % reserved_memory(cpus, memory)]
    # The partitionable slot is slot1; jobs get slot1_1 and so on. Each job requests at least one CPU, and
    # numbers are reused, so the numbers do not exceed the CPUs.
    lines += ["SLOT1_%d_USER = %s" % (n, ACCOUNT % n) for n in range(1, cpus + 1)]
    return HEAD + "\n".join(lines) + "\n"


def reserved_memory(cpus: int, memory: int) -> int:
    """MiB that no job gets; at most a quarter, so that a small machine still works."""
    return min(FOR_SYSTEM + FOR_EACH_CPU * cpus, memory // 4)


def create_account(name: str) -> None:
    """Create an account without login and home directory. Raises CalledProcessError."""
    if not has_account(name):
        subprocess.check_call(useradd_command(name))


def existing_accounts() -> int:
    """The number of accounts of slots that exist, slot0 included."""
    number = 0
    while has_account(ACCOUNT % number):
        number += 1
    return number


def has_account(name: str) -> bool:
    """Whether the account exists."""
    try:
        return bool(pwd.getpwnam(name))
    except KeyError:
        return False


def useradd_command(name: str) -> List[str]:
    """The command that creates the account."""
    flags = ["--system", "--user-group", "--no-create-home"]
    return ["useradd", *flags, "--home-dir=/nonexistent", "--shell=/usr/sbin/nologin", name]
