"""Programs of Debian's packages that are not installed: unpacked in the user's cache, and kept there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from bakery.runtime import mirror
from bakery.store.locks import lock_file
from provisioner.process import run

CACHE = platformdirs.user_cache_path("worker-bakery-tests-docker")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def unpacked(suite: str, packages: Sequence[str]) -> Path:
    """The root of these packages of a suite, without what they depend on."""
    name = f"{suite}-{hashlib.sha256(' '.join(packages).encode()).hexdigest()[:12]}"
    done, new = CACHE / name, CACHE / f"{name}-{os.getpid()}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with lock_file(CACHE / f"{name}.lock"):
        if not done.exists():
            apt = _apt(new, suite)
            run.call([*apt, "update"])
            run.call([*apt, "download", *packages], cwd=new)
            for package in new.glob("*.deb"):
                run.call(["dpkg", "-x", str(package), str(new / "root")])
                package.unlink()
            (new / "root").rename(done)
            run.call(["rm", "-rf", str(new)])
    return done


def _apt(folder: Path, suite: str) -> list[str]:
    """apt with its own lists and sources: this machine's are not touched."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    sources = folder / "sources.list"
    sources.write_text(f"deb [signed-by={_KEYRING}] {mirror.find().main} {suite} main\n")
    settings = {
        "Dir::Etc::sourcelist": sources, "Dir::Etc::sourceparts": "/nonexistent",
        "Dir::Etc::preferencesparts": "/nonexistent", "Dir::State::lists": folder / "lists",
        "Dir::State::status": "/dev/null", "Dir::Cache": folder / "cache", "APT::Sandbox::User": "root",
    }  # fmt: skip
    return [
        "apt-get",
        "-q",
        *(word for name, value in settings.items() for word in ("-o", f"{name}={value}")),
    ]
