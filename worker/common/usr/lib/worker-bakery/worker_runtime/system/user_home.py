"""The directory of a worker of an unprivileged user, unless WORKER_BAKERY_HOME names another one.

By the real user: the Python of a browser, which imports this for the page, has no effective one.
"""

import os
import stat


def default() -> str:
    """In the directory for temporary files, which a batch system sets for each job."""
    return os.path.join(os.environ.get("TMPDIR", "/tmp"), "worker-bakery-%d" % os.getuid())


def existing() -> str:
    """The default directory if this user's worker has created it; "" otherwise, and for root."""
    if os.getuid() == 0:
        return ""
    try:
        found = os.lstat(default())
    except OSError:
        return ""
    return default() if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() else ""
