"""Takes the token out of the environment of the worker's processes.

The programs that the worker starts inherit os.environ. /proc/PID/environ shows the memory in which the
kernel has put the variables (proc(5)), and root, the worker's own user, and the host can read it; so that
memory is overwritten.
"""

import ctypes
import os
from typing import Dict

from worker_runtime.configuration import kind

_FILL = b"x"


def take() -> Dict[str, str]:
    """The environment; afterwards, os.environ and /proc/PID/environ have no token."""
    found = dict(os.environ)
    for key in kind.load().keys:
        if key.setting == "Token" and key.variable in os.environ:
            overwrite(key.variable)
            del os.environ[key.variable]
    return found


def overwrite(name: str) -> None:
    """Overwrite the value of a variable of this process where the kernel has put it."""
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    address = libc.getenv(os.fsencode(name))
    if address:
        ctypes.memset(address, ord(_FILL), len(ctypes.string_at(address)))
