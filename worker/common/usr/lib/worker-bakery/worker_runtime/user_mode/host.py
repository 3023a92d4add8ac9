"""What is around an ordinary user's worker: his own folder, his own HTCondor, and nothing of root's.

The token is in ~/.condor/tokens.d, where HTCondor's own programs look for it. Jobs run as the user who
runs the worker, and can read what he can; so the worker is for his own jobs.
"""

import os
import pwd
import sys
from typing import Dict, List, Mapping, Optional

from worker_runtime.configuration import settings
from worker_runtime.configuration.kind import Kind
from worker_runtime.container import cgroup, entrypoint, init
from worker_runtime.system import files, paths
from worker_runtime.system.console import log
from worker_runtime.user_mode.variables import CONFIG, HOME

# The files of the image that hold for this worker too.
IMAGE_CONFIG = "/etc/condor/config.d"
USER_CONDOR = "~/.condor"
CONFIG_FILE = paths.CONFIG_DIR + "/85-worker-user.config"
_FOLDERS = ("log", "execute", "spool", "lock", "condor-run", "condor/config.d", "condor/passwords.d")
# What HTCondor and its jobs get of the user's environment: not the worker's own variables.
_PASSED_VARIABLES = ("PATH", "HOME", "USER", "TMPDIR", HOME, CONFIG)


def main(system_config: str) -> int:
    """`system_config` is HTCondor's root configuration, which holds where it is not said otherwise."""

    def begin() -> None:
        create_folders(paths.HOME, files.read_text(system_config))

    own = {name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ}
    environment = dict(own, LANG="C.UTF-8")
    # Jobs are the user's own.
    host = entrypoint.Host(begin, prepare, user_kind, lambda _: None, environment, limited=False)
    return init.run(lambda: entrypoint.run_worker(host))


def create_folders(home: str, root_config: str) -> None:
    """The folder, with a configuration of HTCondor's that writes nowhere else."""
    entrypoint.reset_run_folder()
    for name in (*_FOLDERS, "run/health"):
        os.makedirs(os.path.join(home, name), 0o700, exist_ok=True)
    files.create_private_folder(paths.TOKENS)
    root = "%s\nLOCAL_CONFIG_DIR = %s\nLOCAL_CONFIG_FILE =\n" % (root_config, paths.CONFIG_DIR)
    files.put(paths.ROOT_CONFIG, root.encode("utf-8"), 0o600)
    for name in sorted(os.listdir(IMAGE_CONFIG)):
        link = os.path.join(paths.CONFIG_DIR, name)
        if "-worker" in name and not os.path.lexists(link):
            os.symlink(os.path.join(IMAGE_CONFIG, name), link)
    share = limit_memory(cgroup.share(), os.environ.get("SLURM_MEM_PER_NODE", ""))
    text = config(home, os.path.realpath(sys.argv[0]), share)
    files.put(CONFIG_FILE, text.encode("utf-8"), 0o600)


def prepare(values: Mapping[str, str]) -> Optional[bool]:
    """There is no guard for who is not root."""
    settings.publish(values)
    log("jobs run as %s, in %s" % (pwd.getpwuid(os.geteuid()).pw_name, paths.EXECUTE))
    return False


def user_kind(plain: Kind) -> Kind:
    """His files are where HTCondor's own are."""
    folder = os.path.expanduser(USER_CONDOR)

    def own(path: str, name: str) -> str:
        return os.path.join(folder, name) if path else ""

    keys = tuple(
        key._replace(default=own(key.default, "tokens.d/token.jwt")) if key.setting == "TokenFile" else key
        for key in plain.keys
    )
    file = own(plain.file, os.path.basename(plain.file))
    return plain._replace(keys=keys, file=file, given=os.path.join(folder, "tokens.d"))


def limit_memory(share: cgroup.Share, memory: str) -> cgroup.Share:
    """`memory` in MiB as the batch system says it, "": it says nothing."""
    return share._replace(memory=min(share.memory, int(memory))) if memory.isdigit() else share


def config(home: str, program: str, share: cgroup.Share) -> str:
    """85-worker-user.config."""
    rows: List[str] = ["# Written by `worker run --user` at each of its starts."]
    rows += ["%s = %s" % pair for pair in folders(home).items()]
    # What only root can: a /tmp of each job's own, control groups, accounts of slots.
    rows += ["MOUNT_UNDER_SCRATCH =", "BASE_CGROUP =", "NOBODY_SLOT_USER ="]
    rows += ["NUM_CPUS = %d" % share.cpus, "MEMORY = %d" % share.memory]
    for name in ("HEALTH", "RUNTIMES"):
        rows.append("STARTD_CRON_%s_EXECUTABLE = %s" % (name, program))
        # HTCondor's quotes, or the blank between them would be part of the first.
        said = "'WORKER_EXECUTE=$(EXECUTE)' '%s=%s'" % (HOME, home)
        rows.append('STARTD_CRON_%s_ENV = "%s"' % (name, said))
    return "\n".join(rows) + "\n"


def folders(home: str) -> Dict[str, str]:
    found = {name.upper(): "%s/%s" % (home, name) for name in ("log", "spool", "execute", "lock")}
    tokens = home + "/condor/tokens.d"
    return {
        "LOCAL_DIR": home,
        **found,
        "RUN": home + "/condor-run",
        "SEC_TOKEN_DIRECTORY": tokens,
        "SEC_TOKEN_SYSTEM_DIRECTORY": tokens,
        "SEC_PASSWORD_DIRECTORY": home + "/condor/passwords.d",
    }
