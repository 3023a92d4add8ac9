"""`worker run --user`: a worker of one's own on a cluster, where one is an ordinary user and no more.

All that it writes is in one folder: WORKER_BAKERY_HOME, or else one in TMPDIR, which a batch system gives
each of its jobs. This makes the folder, and says so in the environment, where all else looks for its
places when it is imported; then ordinary.py takes over.
"""

import os
import stat
import sys
from typing import Optional

from worker_runtime.user_mode.variables import CONFIG, HOME

SYSTEM_CONFIG = "/etc/condor/condor_config"


def main() -> int:
    if os.geteuid() == 0:
        sys.stderr.write("worker run --user is for those who are not root; root's is: worker run\n")
        return 2
    home = os.environ.get(HOME) or default_home(os.environ.get("TMPDIR", "/tmp"), os.getuid())
    problem = create_home(home)
    if problem:
        sys.stderr.write("%s %s; name another folder by %s\n" % (home, problem, HOME))
        return 2
    system = os.environ.get(CONFIG, SYSTEM_CONFIG)
    os.environ.update({HOME: home, CONFIG: home + "/condor/condor_config"})
    # Not before: places.py reads HOME.
    from worker_runtime.user_mode import host

    return host.main(system)


def default_home(scratch: str, uid: int) -> str:
    return os.path.join(scratch, "worker-bakery-%d" % uid)


def create_home(home: str) -> Optional[str]:
    """The folder, ours and closed to others; or what is wrong: in /tmp anybody may have made it."""
    try:
        os.makedirs(home, 0o700, exist_ok=True)
        found = os.lstat(home)
    except OSError as error:
        return "cannot be made: %s" % error.strerror
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return "is somebody else's"
    os.chmod(home, 0o700)
    return None
