"""`worker run --user`: runs a worker of an unprivileged user on a cluster.

Everything that it writes is in one directory: WORKER_BAKERY_HOME, or one in TMPDIR, which a batch system
sets for each job. This module creates the directory and sets the variable, which system/paths.py reads when
it is imported; then host.py continues.
"""

import os
import stat
import sys
from typing import Optional

from worker_runtime.user_mode.variables import CONFIG, HOME

SYSTEM_CONFIG = "/etc/condor/condor_config"


def main() -> int:
    """Create the directory and run the worker; the exit status."""
    if os.geteuid() == 0:
        sys.stderr.write("worker run --user does not run as root; use: worker run\n")
        return 2
    home = os.environ.get(HOME) or default_home(os.environ.get("TMPDIR", "/tmp"), os.getuid())
    problem = create_home(home)
    if problem:
        sys.stderr.write("%s %s; set %s to another directory\n" % (home, problem, HOME))
        return 2
    system = os.environ.get(CONFIG, SYSTEM_CONFIG)
    os.environ.update({HOME: home, CONFIG: home + "/condor/condor_config"})
    # Not earlier, because system/paths.py reads HOME when it is imported.
    from worker_runtime.user_mode import host

    return host.main(system)


def default_home(scratch: str, uid: int) -> str:
    """The default directory of this user's worker."""
    return os.path.join(scratch, "worker-bakery-%d" % uid)


def create_home(home: str) -> Optional[str]:
    """Create the directory, closed to others. Return what is wrong: in /tmp, others may have created it."""
    try:
        os.makedirs(home, 0o700, exist_ok=True)
        found = os.lstat(home)
    except OSError as error:
        return "cannot be created: %s" % error.strerror
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return "belongs to another user"
    os.chmod(home, 0o700)
    return None
