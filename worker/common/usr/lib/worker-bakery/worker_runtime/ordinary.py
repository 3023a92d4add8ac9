"""What is around an ordinary user's worker: his own folder, his own HTCondor, and nothing of root's.

The token is in ~/.condor/tokens.d, where HTCondor's own programs look for it. Jobs run as the user who
runs the worker, and can read what he can; so the worker is for his own jobs.
"""

import os
import pwd
import sys
from typing import Dict, List, Mapping, Optional

from worker_runtime import cgroup, container, files, first, places, settings
from worker_runtime.kind import Kind
from worker_runtime.say import say
from worker_runtime.user import CONFIG, HOME

# The files of the image that hold for this worker too.
IMAGE_CONFIG = "/etc/condor/config.d"
USER_CONDOR = "~/.condor"
CONFIG_FILE = places.CONFIG_DIR + "/85-worker-user.config"
_FOLDERS = ("log", "execute", "spool", "lock", "condor-run", "condor/config.d", "condor/passwords.d")
# What HTCondor and its jobs get of the user's environment: not the worker's own variables.
_PASSED_ON = ("PATH", "HOME", "USER", "TMPDIR", HOME, CONFIG)


def main(system_config: str) -> int:
    """`system_config` is HTCondor's root configuration, which holds where it is not said otherwise."""

    def begin() -> None:
        laid_out(places.HOME, files.text(system_config))

    own = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment = dict(own, LANG="C.UTF-8")
    # Jobs are the user's own.
    host = container.Host(begin, prepared, of_user, lambda _: None, environment, limited=False)
    return first.process(lambda: container.worker(host))


def laid_out(home: str, root_config: str) -> None:
    """The folder, with a configuration of HTCondor's that writes nowhere else."""
    container.begin()
    for name in (*_FOLDERS, "run/health"):
        os.makedirs(os.path.join(home, name), 0o700, exist_ok=True)
    files.private_folder(places.TOKENS)
    root = "%s\nLOCAL_CONFIG_DIR = %s\nLOCAL_CONFIG_FILE =\n" % (root_config, places.CONFIG_DIR)
    files.put(places.ROOT_CONFIG, root.encode("utf-8"), 0o600)
    for name in sorted(os.listdir(IMAGE_CONFIG)):
        link = os.path.join(places.CONFIG_DIR, name)
        if "-worker" in name and not os.path.lexists(link):
            os.symlink(os.path.join(IMAGE_CONFIG, name), link)
    share = granted(cgroup.share(), os.environ.get("SLURM_MEM_PER_NODE", ""))
    text = config(home, os.path.realpath(sys.argv[0]), share)
    files.put(CONFIG_FILE, text.encode("utf-8"), 0o600)


def prepared(values: Mapping[str, str]) -> Optional[bool]:
    """There is no guard for who is not root."""
    settings.publish(values)
    say("jobs run as %s, in %s" % (pwd.getpwuid(os.geteuid()).pw_name, places.EXECUTE))
    return False


def of_user(plain: Kind) -> Kind:
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


def granted(share: cgroup.Share, memory: str) -> cgroup.Share:
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
