"""SIGKILL at any moment leaves no process, mount, loop device or incomplete image; the next bake works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bakery.store.store import Store
from tests.conftest import BIN, command

INSTALL = "condor: install condor"
BUILD = "build the base"
COMPRESS, TESTS = "compress the image", "image tests on the mounted root"
# Prefixes of phase names in the output of --json, and what is killed there.
SESSION, COMMAND = "the session", "the command alone"
KILLED = (
    ("copy the base", SESSION),
    (INSTALL, SESSION),
    (INSTALL, COMMAND),
    ("write a checkpoint", SESSION),
    (COMPRESS, SESSION),
    (TESTS, SESSION),
)
# In this order, because the bake that is to be compressed keeps checkpoints.
INTERRUPTED = {INSTALL: signal.SIGTERM, COMPRESS: signal.SIGINT, TESTS: signal.SIGTERM}


def processes_of(cache: Path) -> list[int]:
    """Processes that have the cache in their arguments, open files in it, or their cwd or root there."""
    found = []
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            links = [proc / "cwd", proc / "root", *(proc / "fd").iterdir()]
            named = str(cache).encode() in (proc / "cmdline").read_bytes()
            if named or any(str(cache) in str(link.readlink()) for link in links):
                found.append(int(proc.name))
        except OSError:
            continue  # it has exited in the meantime, or is a kernel thread
    return [pid for pid in found if pid != os.getpid()]


def session_of(leader: int) -> list[int]:
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            members.append(int(stat.parent.name))
    return members


def mounts_of(cache: Path) -> list[str]:
    seen = []
    for mounts in Path("/proc").glob("[0-9]*/mounts"):
        try:
            seen += [row for row in mounts.read_text().splitlines() if str(cache) in row]
        except OSError:
            continue
    return seen


def loops_of(cache: Path) -> list[str]:
    files = Path("/sys/block").glob("loop*/loop/backing_file")
    return [path.read_text().strip() for path in files if str(cache) in path.read_text()]


def bake_until(moment: str, cache: Path, output: Path) -> subprocess.Popen[str]:
    return start_until(
        moment,
        cache,
        "bake-image",
        "--json",
        "--verify",
        "offline",
        "--checkpoints",
        "all",
        "-o",
        str(output),
    )


def start_until(moment: str, cache: Path, name: str, *argv: str) -> subprocess.Popen[str]:
    """Start the command in its own session and return when the phase begins."""
    process = subprocess.Popen(
        [BIN / name, *argv],
        env={**os.environ, "WORKER_BAKERY_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr
    for row in process.stderr:
        event = json.loads(row)
        if event["event"] == "begin" and event["name"].startswith(moment):
            return process
    pytest.fail(f"{moment} never began")


def nothing_stays(cache: Path) -> None:
    end = time.monotonic() + 60  # the kernel removes namespaces asynchronously
    while time.monotonic() < end:
        left = [*processes_of(cache), *mounts_of(cache), *loops_of(cache)]
        if not left:
            return
        time.sleep(0.1)
    pytest.fail(f"left behind: {left}")


@pytest.fixture
def system_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of the commands (TMPDIR), initially empty."""
    folder = tmp_path / "system-tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_killed(baked: dict[str, Any], private_store: Store, tmp_path: Path, system_tmp: Path) -> None:
    """The image baked afterwards equals that of an undisturbed bake."""
    cache, output = private_store.root, tmp_path / "out" / "worker.qcow2"
    output.parent.mkdir()
    for moment, whom in KILLED:
        process = bake_until(moment, cache, output)
        time.sleep(0.4)
        for pid in session_of(process.pid) if whom == SESSION else [process.pid]:
            with suppress(ProcessLookupError):  # it has exited with its parent
                os.kill(pid, signal.SIGKILL)
        process.communicate()
        nothing_stays(cache)
        assert list(output.parent.iterdir()) == []
        assert list(system_tmp.iterdir()) == []
        assert list((cache / "images").glob("*")) == [] if (cache / "images").exists() else True
    done = command(
        "bake-image", "--verify", "offline", "-o", str(output), env={"WORKER_BAKERY_CACHE": str(cache)}
    )
    assert done.status == 0, done.err
    assert output.exists()
    assert list((cache / "work").iterdir()) == []
    done = command("worker-bakery", "diff", "--all", str(output), baked["path"])
    assert done.status == 0, done.out


@pytest.mark.parametrize("moment", ["mount the images", "compare"])
def test_a_killed_comparison_leaves_nothing(moment: str, baked: dict[str, Any], tmp_path: Path) -> None:
    cache, image = tmp_path / "cache", baked["path"]
    process = start_until(moment, cache, "worker-bakery", "diff", "--json", image, image)
    time.sleep(0.4)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    nothing_stays(cache)
    assert sum(file.stat().st_size for file in cache.rglob("*.raw")) == 0 or moment == "mount the images"


def test_interrupted(private_store: Store, tmp_path: Path) -> None:
    for moment, number in INTERRUPTED.items():
        process = bake_until(moment, private_store.root, tmp_path / "worker.qcow2")
        ends_in_order(process, number, private_store.root)


def ends_in_order(process: subprocess.Popen[str], number: signal.Signals, cache: Path) -> None:
    """Send the signal; the command must exit with its code, a log and nothing left behind."""
    time.sleep(0.4)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "Traceback" not in err
    error = json.loads(err.splitlines()[-1])
    assert (error["message"], Path(error["log"]).parent) == ("Interrupted.", cache / "logs")
    nothing_stays(cache)
    assert list((cache / "work").iterdir()) == []


def test_a_second_signal_exits_at_once_and_the_next_bake_cleans_up(
    private_store: Store, tmp_path: Path
) -> None:
    """The second signal arrives during the cleanup for the first."""
    cache, output = private_store.root, tmp_path / "worker.qcow2"
    process = bake_until(INSTALL, cache, output)
    process.send_signal(signal.SIGSTOP)  # both signals are pending when it continues
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143  # SIGTERM; with an orderly cleanup for SIGINT it would be 130
    assert "Traceback" not in err
    nothing_stays(cache)
    ends_in_order(bake_until("copy the", cache, output), signal.SIGINT, cache)


def test_a_base_build_is_interrupted_and_killed(tmp_path: Path, system_tmp: Path) -> None:
    """mkosi and its children end; the second bake removes what the killed one has left."""
    cache, output = tmp_path / "cache", tmp_path / "worker.qcow2"
    killed = bake_until(BUILD, cache, output)
    time.sleep(4)
    killed.kill()
    killed.communicate()
    nothing_stays(cache)
    process = bake_until(BUILD, cache, output)
    time.sleep(4)
    ends_in_order(process, signal.SIGINT, cache)
    assert list(system_tmp.iterdir()) == []
    assert not list((cache / "bases").glob("*")) and not output.exists()
