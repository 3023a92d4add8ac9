"""Prepares a container for HTCondor: directories, accounts, the metadata guard, the configuration."""

import os
import pwd
import shutil
import stat
import time
from typing import Iterable, Mapping, Optional

from worker_runtime.configuration import condor_config, kind, settings
from worker_runtime.configuration.kind import Kind
from worker_runtime.configuration.worker_file import WorkerConfig
from worker_runtime.container import cgroup, folders, token_files
from worker_runtime.jobs import metadata_guard, resources, storage
from worker_runtime.lifecycle import observe
from worker_runtime.system import files, paths
from worker_runtime.system.boot_time import BOOT_TIME_FILE
from worker_runtime.system.console import log

CONFIG_NAME = "85-worker-container.config"
# Sorts before all other files, so that each may override it.
SIZE_NAME = "00-worker-container.config"
HEAD = "# Written by `worker run` at the container's start.\n"
_SYS_ADMIN, _NET_ADMIN = 21, 12  # <linux/capability.h>
# What root needs to run jobs under accounts of their own, without reading their files as another user.
_NEEDED = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7}
_SPOOL = "/var/lib/condor/spool"
_EXECUTE = "/var/lib/condor/execute"
_FOLDERS = ("/run/condor", "/run/lock/condor", _EXECUTE, _SPOOL)
# What `docker run --read-only` leaves to its user: HTCondor authenticates its own programs in /tmp.
_WRITABLE = ("/run", "/tmp")
_PARENTS = ("/run", "/home", "/var/lib/condor", "/var/log", "/var/spool")  # of what no job may replace


def reset_run_folder() -> None:
    """As after a boot: a restarted container still has the files of its previous run."""
    shutil.rmtree(paths.RUN, ignore_errors=True)
    os.makedirs(paths.RUN, 0o755)
    if not paths.HOME:
        os.makedirs(paths.CONTAINER_CONFIG_DIR, 0o755)
    files.put(BOOT_TIME_FILE, b"%d" % time.time(), 0o644)
    if os.path.exists(observe.STARTD_ADDRESS):
        os.unlink(observe.STARTD_ADDRESS)


def problem() -> Optional[str]:
    """Why this container cannot run a worker as root, and what to do; None if it can."""
    missing = [name for name, number in _NEEDED.items() if not has_capability(number)]
    if missing:
        add = " ".join("--cap-add=" + name for name in missing)
        text = "root of this container has no capability %s; add %s, or run it as --user worker"
        return text % (", ".join(missing), add)
    fixed = [path for path in _WRITABLE if os.statvfs(path).f_flag & os.ST_RDONLY]
    if fixed:
        add = " ".join("--tmpfs " + path for path in fixed)
        return "%s cannot be written; add %s" % (" and ".join(fixed), add)
    return None


def prepare(values: Mapping[str, str]) -> Optional[bool]:
    """Prepare the container; whether the metadata guard is active, or None if HTCondor must not start.

    Raises OSError: a folder cannot be written, or entered by those who need it.
    """
    settings.publish(values)
    close_folders(_PARENTS)
    for path in (*_FOLDERS, paths.LOG, paths.RUN + "/health"):
        create_condor_folder(path)
    os.chmod(paths.LOG, 0o750)
    share = cgroup.share()
    log("this container has CPUs: %d, memory: %d MiB" % share)
    files.put(paths.written_config(SIZE_NAME), size_config(share).encode("ascii"), 0o644)
    content = config(has_capability(_SYS_ADMIN)).encode("ascii")
    files.put(paths.written_config(CONFIG_NAME), content, 0o644)
    if not has_capability(_SYS_ADMIN):
        log("this container is not privileged: jobs share one /tmp, and apptainer needs user namespaces")
    if resources.prepare(*share) or storage.main():
        return None
    check_folders(kind.load().home)
    if values["MetadataGuard"] == "yes" and not has_capability(_NET_ADMIN):
        log("warning: without --cap-add NET_ADMIN jobs are not kept from the cloud's metadata service")
        return False
    return None if metadata_guard.main() else values["MetadataGuard"] == "yes"


def close_folders(paths: Iterable[str]) -> None:
    """Let only their owners write to these folders; the volumes of Kubernetes are open to all.

    In an open folder, a job could put its own in the place of what the worker has written. Raises OSError.
    """
    for path in paths:
        mode = stat.S_IMODE(os.stat(path).st_mode) if os.path.isdir(path) else 0
        if mode & 0o022 and not mode & stat.S_ISVTX:
            os.chmod(path, mode & ~0o022)


def check_folders(home: str) -> None:
    """Raise OSError if HTCondor or a job cannot enter a folder above its own; `home`: Kind.home."""
    execute = home + storage.EXECUTE if home else _EXECUTE
    folders.check(execute, "slot0")
    for path in (execute, _SPOOL, paths.LOG):
        folders.check(path, "condor")


def create_condor_folder(path: str) -> None:
    """Create a directory that HTCondor owns; a new volume belongs to root."""
    os.makedirs(path, 0o755, exist_ok=True)
    owner = pwd.getpwnam("condor")
    os.chown(path, owner.pw_uid, owner.pw_gid)


def has_capability(capability: int) -> bool:
    """Whether this process has the capability."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        rows = dict(line.split(":", 1) for line in file)
    return bool(int(rows["CapEff"].strip(), 16) >> capability & 1)


def config(mounts: bool) -> str:
    """85-worker-container.config; `mounts`: whether mounting is permitted."""
    head = HEAD + "SEC_TOKEN_SYSTEM_DIRECTORY = %s\nSPOOL = %s\n" % (paths.CONTAINER_TOKENS, _SPOOL)
    return head if mounts else head + "MOUNT_UNDER_SCRATCH =\n"


def size_config(share: cgroup.Share) -> str:
    """00-worker-container.config."""
    return HEAD + "NUM_CPUS = %d\nMEMORY = %d\n" % share


def install(kind: Kind, conf: WorkerConfig, machine: condor_config.Machine) -> bool:
    """Write the tokens and the configuration. Return False if they were up to date."""
    path = paths.written_config(kind.config_name)
    tokens_are_new = token_files.copy_tokens(kind, conf.values)
    config_is_new = files.put(path, condor_config.render(kind, conf.values, machine).encode("utf-8"), 0o644)
    if tokens_are_new or config_is_new:
        settings.publish(conf.values)
    return tokens_are_new or config_is_new
