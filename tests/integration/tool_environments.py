"""What a test needs beside the project: sets of Python packages, each in an environment; npm."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from bakery.store.locks import lock_file
from provisioner.process import run

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "worker-bakery-tests"


def environment(name: str, packages: Sequence[str]) -> Path:
    """The folder of an environment with these packages; it is created by whichever test is first."""
    wanted = hashlib.sha256("\n".join((sys.version, *packages)).encode()).hexdigest()[:12]
    folder = CACHE / f"{name}-{wanted}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with lock_file(CACHE / f"{name}.lock"):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a killed test
            run.call([sys.executable, "-m", "venv", str(folder)])
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q"]
            run.call([*pip, "--disable-pip-version-check", *packages], seconds=900)
            (folder / "complete").touch()
    return folder


def install_npm() -> None:
    """Install npm and Node.js of the distribution, if this machine has no npm."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with lock_file(CACHE / "npm.lock"):
        if shutil.which("npm") is None:
            run.call(["apt-get", "-q", "update"], seconds=600)
            options = ["-q", "-y", "--no-install-recommends"]
            run.call(
                ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", *options, "npm"],
                seconds=900,
            )
