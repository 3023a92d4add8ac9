"""The file that exists while HTCondor is down because it exited by itself."""

import os

from worker_runtime.system import files, paths

PATH = paths.RUN + "/exited"
# The settings of a drain, see lifecycle/drain.py: HTCondor starts without them.
DRAIN = paths.RUN + "/drain.config"


def create() -> None:
    """Record that HTCondor exited by itself."""
    os.makedirs(paths.RUN, 0o755, exist_ok=True)
    files.put(PATH, b"", 0o644)


def clear() -> None:
    """Forget an earlier exit, and an earlier drain."""
    for path in (PATH, DRAIN):
        if os.path.exists(path):
            os.unlink(path)


def exists() -> bool:
    """Whether HTCondor exited by itself and was not started since."""
    return os.path.exists(PATH)
