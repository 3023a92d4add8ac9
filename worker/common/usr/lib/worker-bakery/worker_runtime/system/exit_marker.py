"""The file that exists while HTCondor is down because it exited by itself."""

import os

from worker_runtime.system import files, paths

PATH = paths.RUN + "/left"


def create() -> None:
    os.makedirs(paths.RUN, 0o755, exist_ok=True)
    files.put(PATH, b"", 0o644)


def clear() -> None:
    if os.path.exists(PATH):
        os.unlink(PATH)


def exists() -> bool:
    return os.path.exists(PATH)
