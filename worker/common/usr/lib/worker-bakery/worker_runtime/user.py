"""`worker run --user`: a worker of one's own on a cluster, where one is an ordinary user and no more.

All that it writes is in one folder: WORKER_BAKERY_HOME, or else one in TMPDIR, which a batch system gives each
of its jobs. The token is in ~/.condor/tokens.d, where HTCondor's own programs look for it. Jobs run as the user
who runs the worker, and can read what he can; so the worker is for his own jobs.
"""

import os
import pwd
import stat
import sys
from typing import Dict, List, Mapping, Optional

HOME = "WORKER_BAKERY_HOME"
SYSTEM_CONFIG = "/etc/condor/condor_config"
# The files of the image that hold for this worker too.
OWN_CONFIG = "/etc/condor/config.d"
USER_CONDOR = "~/.condor"
TOKEN = USER_CONDOR + "/tokens.d/token.jwt"
_FOLDERS = ("run/health", "log", "execute", "spool", "lock", "condor-run", "condor/config.d")


def main() -> int:
    if os.geteuid() == 0:
        sys.stderr.write("worker run --user is for those who are not root; root's is: worker run\n")
        return 2
    home = os.environ.get(HOME) or default(os.environ.get("TMPDIR", "/tmp"), os.getuid())
    problem = made(home)
    if problem:
        sys.stderr.write("%s %s; name another folder by %s\n" % (home, problem, HOME))
        return 2
    system = os.environ.get("CONDOR_CONFIG", SYSTEM_CONFIG)
    os.environ.update({HOME: home, "CONDOR_CONFIG": home + "/condor/condor_config"})
    return started(home, system)


def default(scratch: str, uid: int) -> str:
    return os.path.join(scratch, "worker-bakery-%d" % uid)


def made(home: str) -> Optional[str]:
    """The folder, ours and closed to others; or what is wrong with it: in /tmp anybody may have made it."""
    try:
        os.makedirs(home, 0o700, exist_ok=True)
        found = os.lstat(home)
    except OSError as error:
        return "cannot be made: %s" % error.strerror
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return "is somebody else's"
    os.chmod(home, 0o700)
    return None


def started(home: str, system: str) -> int:
    # Not before: these look for their places in the environment when they are imported.
    from worker_runtime import container, files, first, places, settings
    from worker_runtime.kind import Kind
    from worker_runtime.say import say

    def laid_out() -> None:
        for name in _FOLDERS:
            os.makedirs(os.path.join(home, name), 0o700, exist_ok=True)
        container.begin()
        os.makedirs(places.RUN + "/health", 0o700, exist_ok=True)
        files.private_folder(places.TOKENS)
        root = files.text(system) + "\nLOCAL_CONFIG_DIR = %s\nLOCAL_CONFIG_FILE =\n" % places.CONFIG_DIR
        files.put(places.ROOT_CONFIG, root.encode("utf-8"), 0o600)
        for name in sorted(os.listdir(OWN_CONFIG)):
            link = os.path.join(places.CONFIG_DIR, name)
            if "-worker" in name and not os.path.lexists(link):
                os.symlink(os.path.join(OWN_CONFIG, name), link)
        cpus, memory = len(os.sched_getaffinity(0)), os.environ.get("SLURM_MEM_PER_NODE", "")
        text = config(home, os.path.realpath(sys.argv[0]), cpus, memory)
        files.put(places.CONFIG_DIR + "/85-worker-user.config", text.encode("utf-8"), 0o600)

    def prepared(values: Mapping[str, str]) -> Optional[bool]:
        settings.publish(values)
        say("jobs run as %s, in %s" % (pwd.getpwuid(os.geteuid()).pw_name, places.EXECUTE))
        return False

    def kind(plain: Kind) -> Kind:
        return of_user(plain, os.path.expanduser(USER_CONDOR))

    def of_user(plain: Kind, folder: str) -> Kind:
        keys = tuple(
            key._replace(default=os.path.expanduser(TOKEN)) if key.setting == "TokenFile" and key.default else key
            for key in plain.keys
        )
        return plain._replace(keys=keys, file=os.path.join(folder, os.path.basename(plain.file)))

    environment = environment_of(home)
    host = container.Host(laid_out, prepared, kind, environment, limited=False)
    return first.process(lambda: container.worker(host))


def environment_of(home: str) -> Dict[str, str]:
    """HTCondor's."""
    own = {name: os.environ[name] for name in ("PATH", "HOME", "USER", "TMPDIR") if name in os.environ}
    return {**own, "LANG": "C.UTF-8", HOME: home, "CONDOR_CONFIG": os.environ["CONDOR_CONFIG"]}


def config(home: str, program: str, cpus: int, memory: str) -> str:
    """85-worker-user.config; `memory` in MiB as the batch system says it, "" for all that the machine has."""
    rows: List[str] = [
        "# Written by `worker run --user` at each of its starts.",
        "LOCAL_DIR = " + home,
        *("%s = %s/%s" % (name.upper(), home, name) for name in ("log", "spool", "execute", "lock")),
        "RUN = %s/condor-run" % home,
        "SEC_TOKEN_DIRECTORY = %s/condor/tokens.d" % home,
        "SEC_TOKEN_SYSTEM_DIRECTORY = %s/condor/tokens.d" % home,
        # What only root can: a /tmp of each job's own, control groups, accounts of slots.
        "MOUNT_UNDER_SCRATCH =",
        "BASE_CGROUP =",
        "NOBODY_SLOT_USER =",
        "NUM_CPUS = %d" % cpus,
    ]
    if memory.isdigit():
        rows.append("MEMORY = " + memory)
    for name in ("HEALTH", "RUNTIMES"):
        rows.append("STARTD_CRON_%s_EXECUTABLE = %s" % (name, program))
        rows.append("STARTD_CRON_%s_ENV = WORKER_EXECUTE=$(EXECUTE) %s=%s" % (name, HOME, home))
    return "\n".join(rows) + "\n"
