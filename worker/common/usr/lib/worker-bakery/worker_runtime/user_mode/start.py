"""`worker run --user`: runs a worker of an unprivileged user, on a cluster or in a container.

Everything that it writes is in one directory: WORKER_BAKERY_HOME, or one in TMPDIR, which a batch system
sets for each job. This module creates the directory and sets the variable, which system/paths.py reads when
it is imported; then host.py continues.
"""

import os
import pwd
import stat
import sys
from typing import Optional

from worker_runtime.system import user_home
from worker_runtime.user_mode.variables import CONFIG, HOME

_NO_ACCOUNT = (
    "HTCondor requires an account, and the user number %d has none here. In a container of our images, "
    "use --user worker; elsewhere, mount an /etc/passwd that has the number.\n"
)
SYSTEM_CONFIG = "/etc/condor/condor_config"


def run() -> int:
    """`worker run`: as root the worker of a container, otherwise that of this user; the exit status."""
    if os.geteuid() != 0:
        return main()
    from worker_runtime.container import entrypoint

    return entrypoint.main()


def main() -> int:
    """Create the directory and run the worker; the exit status."""
    if os.geteuid() == 0:
        sys.stderr.write("worker run --user does not run as root; use: worker run\n")
        return 2
    home = os.environ.get(HOME) or user_home.default()
    if not has_account(os.geteuid()):
        sys.stderr.write(_NO_ACCOUNT % os.geteuid())
        return 2
    problem = create_home(home)
    if problem:
        sys.stderr.write("%s %s; set %s to another directory\n" % (home, problem, HOME))
        return 2
    system = os.environ.get(CONFIG, SYSTEM_CONFIG)
    os.environ.update({HOME: home, CONFIG: home + "/condor/condor_config"})
    # Not earlier, because system/paths.py reads HOME when it is imported.
    from worker_runtime.user_mode import host

    return host.main(system)


def has_account(uid: int) -> bool:
    """Whether the user database has this number; in a container, any number may run the worker."""
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


def create_home(home: str) -> Optional[str]:
    """Create the directory, closed to others. Return what is wrong: in /tmp, others may have created it."""
    try:
        os.makedirs(home, 0o700, exist_ok=True)
        found = os.lstat(home)
    except OSError as error:
        return "cannot be created: %s" % error.strerror
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return "belongs to another user"
    if os.statvfs(home).f_flag & os.ST_NOEXEC:
        return "is on a file system that is mounted noexec, on which no job runs"
    os.chmod(home, 0o700)
    return None
