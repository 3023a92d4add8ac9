"""Sets up a worker of an unprivileged user: in the user's own directory, with its own HTCondor.

The token is in ~/.condor/tokens.d, where HTCondor's own programs look for it. Jobs run as the user who runs
the worker and can read the user's files; so the worker is for the user's own jobs.
"""

import os
import pwd
import sys
from typing import Dict, List, Mapping, Optional

from worker_runtime.configuration import settings
from worker_runtime.configuration.kind import Kind
from worker_runtime.container import cgroup, entrypoint, preparation
from worker_runtime.system import exit_marker, files, paths
from worker_runtime.system.console import log
from worker_runtime.user_mode.variables import CONFIG, HOME

# The configuration files of the image that apply to this worker, too.
IMAGE_CONFIG = "/etc/condor/config.d"
USER_CONDOR = "~/.condor"
CONFIG_FILE = paths.CONFIG_DIR + "/85-worker-user.config"
_FOLDERS = ("log", "execute", "spool", "lock", "condor-run", "condor/config.d", "condor/passwords.d")
# The variables that HTCondor and its jobs inherit: not the worker's own.
_PASSED_VARIABLES = ("PATH", "HOME", "USER", "TMPDIR", HOME, CONFIG)


def main(system_config: str) -> int:
    """`system_config` is HTCondor's root configuration, which applies unless it is overridden."""

    def prepare_home() -> None:
        create_folders(paths.HOME, files.read_text(system_config))

    own = {name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ}
    environment = dict(own, LANG="C.UTF-8")
    # Jobs belong to the user, so nothing is checked for other readers.
    host = entrypoint.Host(prepare_home, prepare, user_kind, lambda _: None, environment, limited=False)
    return entrypoint.start(host)


def create_folders(home: str, root_config: str) -> None:
    """Create the directory with a configuration that makes HTCondor write nowhere else."""
    preparation.reset_run_folder()
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
    text = config(home, os.path.realpath(sys.argv[0]), share, user_name())
    files.put(CONFIG_FILE, text.encode("utf-8"), 0o600)


def prepare(values: Mapping[str, str]) -> Optional[bool]:
    """Publish the settings; there is no metadata guard without root."""
    settings.publish(values)
    log("jobs run as %s, in %s" % (user_name(), paths.EXECUTE))
    return False


def user_kind(plain: Kind) -> Kind:
    """The kind with the user's files in HTCondor's user directory."""
    folder = os.path.expanduser(USER_CONDOR)

    def own(path: str, name: str) -> str:
        return existing(os.path.join(folder, name), path) if path else ""

    keys = tuple(
        key._replace(default=own(key.default, "tokens.d/token.jwt")) if key.setting == "TokenFile" else key
        for key in plain.keys
    )
    file = own(plain.file, os.path.basename(plain.file))
    return plain._replace(keys=keys, file=file, user_tokens=os.path.join(folder, "tokens.d"))


def existing(own: str, mounted: str) -> str:
    """The user's file, unless only the other one exists, where a container has it."""
    return mounted if mounted and not os.path.exists(own) and os.path.exists(mounted) else own


def limit_memory(share: cgroup.Share, memory: str) -> cgroup.Share:
    """`memory` is the limit of the batch system in MiB, "" if there is none."""
    return share._replace(memory=min(share.memory, int(memory))) if memory.isdigit() else share


def user_name() -> str:
    """The name of the user who runs the worker."""
    return pwd.getpwuid(os.geteuid()).pw_name


def config(home: str, program: str, share: cgroup.Share, user: str) -> str:
    """85-worker-user.config. `user` may give the daemons orders, as root may on a machine."""
    rows: List[str] = ["# Written by `worker run --user` at each of its starts."]
    rows += ["%s = %s" % pair for pair in folders(home).items()]
    # Only root can set up a /tmp for each job, control groups and accounts of slots.
    rows.append("WORKER_DRAIN = %s" % exit_marker.DRAIN)
    rows += ["MOUNT_UNDER_SCRATCH =", "BASE_CGROUP =", "NOBODY_SLOT_USER ="]
    rows += ["NUM_CPUS = %d" % share.cpus, "MEMORY = %d" % share.memory]
    rows += ["ALLOW_ADMINISTRATOR = $(ALLOW_ADMINISTRATOR) %s@$(UID_DOMAIN)" % user]
    for name in ("HEALTH", "RUNTIMES"):
        rows.append("STARTD_CRON_%s_EXECUTABLE = %s" % (name, program))
        # In HTCondor's quotes; without them, the blank would belong to the first value.
        variables = "'WORKER_EXECUTE=$(EXECUTE)' '%s=%s'" % (HOME, home)
        rows.append('STARTD_CRON_%s_ENV = "%s"' % (name, variables))
    return "\n".join(rows) + "\n"


def folders(home: str) -> Dict[str, str]:
    """The macros of HTCondor's directories."""
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
