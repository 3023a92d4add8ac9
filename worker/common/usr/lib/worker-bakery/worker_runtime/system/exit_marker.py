"""The file that exists while HTCondor is down because it exited by itself."""

import os

from worker_runtime.system import files, paths

PATH = paths.RUN + "/exited"


def create() -> None:
    """Record that HTCondor exited by itself."""
    os.makedirs(paths.RUN, 0o755, exist_ok=True)
    files.put(PATH, b"", 0o644)


def clear() -> None:
    """Forget an earlier exit."""
    if os.path.exists(PATH):
        os.unlink(PATH)


def exists() -> bool:
    """Whether HTCondor exited by itself and was not started since."""
    return os.path.exists(PATH)
