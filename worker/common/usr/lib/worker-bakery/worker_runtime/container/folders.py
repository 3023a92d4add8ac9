"""Checks that HTCondor and its jobs can enter their folders: a folder of the host may be closed to them."""

import errno
import os
import pwd
import stat
from typing import Iterator

from worker_runtime.container.accounts import acting_as

_CLOSED = (
    "HTCondor and its jobs cannot enter it (mode %04o, owner %d); run chmod 755 on what is mounted there"
)


def check(path: str, account: str) -> None:
    """Raise OSError, with what to do, if the account cannot enter a folder above this path."""
    with acting_as(pwd.getpwnam(account)):
        closed = next((folder for folder in above(path) if not can_enter(folder)), None)
    if closed:
        found = os.stat(closed)
        mode = stat.S_IMODE(found.st_mode)
        raise OSError(errno.EACCES, _CLOSED % (mode, found.st_uid), closed)


def above(path: str) -> Iterator[str]:
    """The folders above a path, from the root on."""
    parts = path.strip("/").split("/")
    return ("/" + "/".join(parts[:count]) for count in range(len(parts)))


def can_enter(folder: str) -> bool:
    """Whether this process can reach what is in the folder."""
    try:
        os.stat(os.path.join(folder, "."))
    except OSError:
        return False
    return True
