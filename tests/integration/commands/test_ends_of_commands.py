"""Commands end with a message and an exit code, whatever becomes of their output, paths and cache."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from bakery.output.commit import check_target
from provisioner.errors import BadInput
from tests.conftest import BIN

# Of no pool; long enough to be longer than a file's name may be.
TOKEN = f"eyJhbGciOiJIUzI1NiJ9.{'eyJpc3MiOiJub3doZXJlIn0' * 12}.{'c2VjcmV0' * 6}"


def shell(command: str, cache: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """`command` by bash; status is that of the first program of the last pipe."""
    told = {**os.environ, "WORKER_BAKERY_CACHE": str(cache), "PATH": f"{BIN}:{os.environ['PATH']}", **env}
    script = f'{command}\nexit "${{PIPESTATUS[0]}}"'
    return subprocess.run(["bash", "-c", script], env=told, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command",
    [
        "bake-image --dry-run --json",
        "bake-image --explain",
        "worker-bakery bases",
        "worker-bakery bases --json",
        "worker-bakery cache list",
        "worker-bakery completion bash",
        "worker-bakery userdata --list-findings",
    ],
)
def test_a_reader_that_goes_ends_the_command_silently(command: str, tmp_path: Path) -> None:
    done = shell(f"{command} | true", tmp_path)
    assert done.returncode in (0, 141) and done.stderr == ""  # 0: all of it was written before
    many = shell(f"for i in 1 2 3; do {command}; done | head -c 1 >/dev/null", tmp_path)
    assert "Traceback" not in many.stderr and "BrokenPipe" not in many.stderr


@pytest.mark.parametrize("command", ["bake-image --dry-run", "worker-bakery bases", "worker-bakery config"])
def test_a_full_disk_behind_the_output_is_named(command: str, tmp_path: Path) -> None:
    done = shell(f"{command} >/dev/full", tmp_path)
    assert done.returncode == 6
    assert done.stderr.startswith(
        "error: No space is left on a disk. Free some space where the output goes"
    )
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["bake-image --dry-run", "worker-bakery completion bash"])
def test_a_closed_output_is_an_error(command: str, tmp_path: Path) -> None:
    done = shell(f"{command} >&-", tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("error: Standard output is closed.")


@pytest.mark.parametrize(
    "command",
    [
        "bake-image --base T",
        "bake-image --base-image T --family el9 --dry-run",
        "bake-image -o T --offline --verify none",
        "worker-bakery bases T",
        "worker-bakery verify T",
        "worker-bakery shell T",
        "worker-bakery diff T T",
        "worker-bakery userdata --token-file T --project P",
        "worker-bakery userdata --check T",
    ],
)
def test_a_token_in_the_place_of_a_path_is_not_shown(command: str, tmp_path: Path) -> None:
    done = shell(command.replace("T", shlex.quote(TOKEN)), tmp_path)
    assert done.returncode not in (0, 1)
    assert "Traceback" not in done.stderr
    assert TOKEN[-20:] not in done.stdout + done.stderr and TOKEN[30:60] not in done.stdout + done.stderr


def test_a_bug_shows_no_token(tmp_path: Path) -> None:
    script = (
        "from bakery.commands.command_line import entry\n"
        f"def body(): raise RuntimeError('bad: {TOKEN}')\n"
        "entry.run(body, [])"
    )
    done = subprocess.run([BIN / "python", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "RuntimeError: bad: " in done.stderr
    assert TOKEN[-20:] not in done.stderr


def test_another_broken_pipe_is_not_taken_for_the_reader_of_the_output(tmp_path: Path) -> None:
    script = (
        "from bakery.commands.command_line import entry\n"
        "def body(): raise BrokenPipeError(32, 'of a connection')\n"
        "entry.run(body, [])"
    )
    done = subprocess.run([BIN / "python", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "BrokenPipeError: [Errno 32] of a connection" in done.stderr


@pytest.mark.parametrize(
    "command", ["bake-image --base rocky9 --verify none", "worker-bakery cache prune --all", "bake-image"]
)
def test_a_cache_that_cannot_be_written_is_named(command: str, tmp_path: Path) -> None:
    """Read-only for root, too, as on a read-only file system."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "images").mkdir()
    (cache / "locks").mkdir()
    entered = f"mount --bind {cache} {cache} && mount -o remount,bind,ro {cache} && {command}"
    done = shell(f"unshare --mount --propagation=private bash -c {shlex.quote(entered)}", cache)
    assert "Traceback" not in done.stderr
    if done.returncode != 0:  # there may be nothing to prune
        assert (done.returncode, f"Cannot use the cache, {cache}" in done.stderr) == (3, True), done.stderr
        assert "WORKER_BAKERY_CACHE" in done.stderr


@pytest.mark.parametrize("kind", ["fifo", "link", "device"])
def test_an_image_never_takes_the_place_of_a_special_file(kind: str, tmp_path: Path) -> None:
    target, regular = tmp_path / "target", tmp_path / "regular"
    regular.write_bytes(b"kept")
    if kind == "fifo":
        os.mkfifo(target)
    elif kind == "link":
        target.symlink_to(regular)
    else:
        os.mknod(target, 0o600 | stat.S_IFCHR, os.makedev(1, 7))  # a /dev/full of our own
    with pytest.raises(BadInput, match="not a regular file"):
        check_target(target)
    done = shell(f"bake-image --verify none -o {target}", tmp_path / "cache")
    assert done.returncode == 2 and "not a regular file" in done.stderr
    assert regular.read_bytes() == b"kept" and not stat.S_ISREG(target.lstat().st_mode)
