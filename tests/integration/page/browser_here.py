"""Chromium of Debian's packages and Playwright of PyPI, for tests; neither is installed on this machine.

Chromium is the machine's own, if it has one; else the packages that it lacks are unpacked into a cache.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import site
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bakery.page import server
from provisioner.process import run
from tests.integration.tool_environments import CACHE, environment

_PACKAGES = ("playwright==1.65.2",)
_AXE = "axe-core@4.14.1"
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def browser(folder: Path) -> Iterator[Any]:
    """Start Chromium with an empty profile below `folder`; yield Playwright's browser."""
    _add_playwright()
    from playwright.sync_api import sync_playwright

    program, env = chromium()
    with sync_playwright() as started:
        launched = started.chromium.launch(
            executable_path=str(program), args=list(_FLAGS), env={**os.environ, **env, "HOME": str(folder)}
        )
        try:
            yield launched
        finally:
            launched.close()


@contextmanager
def profile(folder: Path) -> Iterator[Any]:
    """Start Chromium with the profile in `folder`, which it keeps; yield Playwright's context."""
    _add_playwright()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started, kept(started.chromium, folder) as context:
        yield context


@contextmanager
def kept(kind: Any, folder: Path) -> Iterator[Any]:
    """As `profile`; `kind` is a BrowserType of Playwright, which runs only once in a process."""
    program, env = chromium()
    context = kind.launch_persistent_context(
        str(folder), executable_path=str(program), args=list(_FLAGS), env={**os.environ, **env}
    )
    try:
        yield context
    finally:
        context.close()


def _add_playwright() -> None:
    """Make the environment's packages importable; they come last, so those of the project win."""
    python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site.addsitedir(str(environment("playwright", _PACKAGES) / "lib" / python / "site-packages"))


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[str]:
    """Serve the files of a page; yield its address."""
    with server.listening(files, 0) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield server.address(listening)
        finally:
            listening.shutdown()
            thread.join()


def chromium() -> tuple[Path, Mapping[str, str]]:
    """Return the program, and the environment that it requires."""
    if found := shutil.which("chromium"):
        return Path(found), {}
    folder = _unpacked()
    libraries = sorted({str(path.parent) for path in folder.glob("usr/lib/*-linux-gnu/**/*.so*")})
    return folder / "usr/lib/chromium/chromium", {"LD_LIBRARY_PATH": ":".join(libraries)}


def _unpacked() -> Path:
    """Download the packages of Chromium that this machine lacks, once, and unpack them."""
    done, lock = CACHE / "chromium", CACHE / "chromium.lock"
    CACHE.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        if not done.exists():
            new = CACHE / "chromium.new"
            shutil.rmtree(new, ignore_errors=True)  # of a killed test
            archives = new / "archives"
            (archives / "partial").mkdir(parents=True)
            where = ["-o", f"Dir::Cache::archives={archives}", "-o", "APT::Sandbox::User=root"]
            words = ["install", "-q", "-y", "--no-install-recommends", "--download-only", "chromium"]
            run.call(["apt-get", *where, *words], seconds=600)
            for package in archives.glob("*.deb"):
                run.call(["dpkg", "-x", str(package), str(new)])
            shutil.rmtree(archives)
            new.rename(done)
    return done


def axe() -> str:
    """Return the text of axe-core, which finds violations of WCAG in a page; npm downloads it once."""
    folder = CACHE / _AXE
    script = folder / "package" / "axe.min.js"
    if not script.exists():
        folder.mkdir(parents=True, exist_ok=True)
        run.call(["npm", "pack", "--ignore-scripts", "--pack-destination", str(folder), _AXE], seconds=600)
        [package] = folder.glob("*.tgz")
        run.call(["tar", "-xzf", str(package), "-C", str(folder), "package/axe.min.js"])
        package.unlink()
    return script.read_text("utf-8")
