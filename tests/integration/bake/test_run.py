"""provisioner.process.run with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner.errors import CommandFailed, DiskFull, MissingHere, Unreachable, WrongChecksum
from provisioner.process import run
from provisioner.process.line_splitter import LONGEST


def test_large_output_on_both_pipes_is_read() -> None:
    script = "import sys; sys.stderr.write('e' * 3_000_000); sys.stdout.write('o' * 3_000_000)"
    done = run.call([sys.executable, "-c", script])
    assert (len(done.stdout), len(done.stderr)) == (3_000_000, 3_000_000)


def test_an_error_has_the_last_lines_without_tokens() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhQGIifQ.c2lnbmF0dXJl"
    with pytest.raises(CommandFailed) as caught:
        run.stream(["sh", "-c", f"seq 100; echo {token}; exit 3"], lambda _: None)
    assert caught.value.status == 3
    assert caught.value.tail.endswith("100\n[token]")
    assert "c2lnbmF0dXJl" not in str(caught.value)


def test_lines_are_passed_on_as_they_are_written() -> None:
    seen: list[tuple[str, float]] = []
    run.stream(
        ["sh", "-c", "echo one; sleep 0.5; echo two >&2"], lambda x: seen.append((x, time.monotonic()))
    )
    assert [text for text, _ in seen] == ["one", "two"]
    assert seen[1][1] - seen[0][1] > 0.3


def test_a_long_line_is_truncated() -> None:
    seen: list[str] = []
    run.stream(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo next"], seen.append)
    assert [len(text) for text in seen] == [LONGEST + len(" …"), len("next")]


def test_the_status_of_a_program_that_ignores_its_input_is_reported() -> None:
    with pytest.raises(CommandFailed) as caught:
        run.stream(["sh", "-c", "echo no; exit 3"], lambda _: None, stdin=b"x" * 3_000_000)
    assert (caught.value.status, caught.value.tail) == (3, "no")


def test_an_attached_program_has_our_streams_and_receives_ctrl_c() -> None:
    call = "run.attached(['sh', '-c', 'cat; kill -INT $PPID $$'])"
    script = f"from provisioner.process import run; print({call})"
    done = subprocess.run(
        [sys.executable, "-c", script], input="typed\n", text=True, capture_output=True, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("typed\n-2\n", "", 0)


@pytest.mark.parametrize(
    ("says", "cause"),
    [
        ("dd: error writing: No space left on device", DiskFull),
        ("E: Failed to fetch http://m.invalid/x  Could not connect to m.invalid:80", Unreachable),
        ("E: Failed to fetch http://m.invalid/x.deb  Hash Sum mismatch", WrongChecksum),
        ("E: Failed to fetch http://m.invalid/x.deb  File has unexpected size (5 != 4)", WrongChecksum),
        ("E: something else", CommandFailed),
    ],
)
def test_the_cause_is_recognized_in_the_output(says: str, cause: type[Exception]) -> None:
    with pytest.raises(cause):
        run.call(["sh", "-c", f"echo '{says}' >&2; exit 100"])


def test_a_missing_tool_is_reported() -> None:
    with pytest.raises(MissingHere, match="no-such-tool"):
        run.call(["no-such-tool"])


def test_a_timeout_kills_the_program() -> None:
    started = time.monotonic()
    with pytest.raises(CommandFailed):
        run.call(["sleep", "600"], seconds=0.5)
    assert time.monotonic() - started < 500


def test_a_background_program_ends_with_its_block(tmp_path: Path) -> None:
    with run.background(["sh", "-c", "echo up; sleep 600"], log=tmp_path / "log") as process:
        assert until(lambda: (tmp_path / "log").read_text() != "")
        assert process.poll() is None
    assert process.returncode == -signal.SIGKILL
    assert (tmp_path / "log").read_text() == "up\n"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_program_runs_while_its_block_does(tmp_path: Path) -> None:
    begun, ended = tmp_path / "begun", tmp_path / "ended"
    os.mkfifo(begun)
    with run.meanwhile(["sh", "-c", f"read line < {begun}; echo $line; touch {ended}"]):
        begun.write_text("the block\n")  # returns when the program reads it
    assert ended.exists()


def test_a_program_beside_a_block_is_waited_for_and_its_failure_raised() -> None:
    with (
        pytest.raises(CommandFailed) as caught,
        run.meanwhile(["sh", "-c", "sleep 0.3; echo no >&2; exit 3"]),
    ):
        pass
    assert (caught.value.status, caught.value.tail) == (3, "no")


def test_a_program_beside_a_block_that_fails_is_killed(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(KeyError), run.meanwhile(["sh", "-c", f"echo $$ > {fifo}; exec sleep 1000"]):
        pid = int(fifo.read_text())
        raise KeyError
    assert not Path(f"/proc/{pid}").exists()


def test_temporary_files_are_in_the_work_folder(tmp_path: Path) -> None:
    """Of children and grandchildren, also in a sandbox; not with an explicit environment."""
    make = ["sh", "-c", "mktemp"]
    with run.temporary_files_in(tmp_path):
        for argv, env in ((make, None), (make, run.environment()), (run.sandbox_argv(make), None)):
            assert Path(run.call(argv, env=env).stdout.strip()).parent == tmp_path
        seen: list[str] = []
        run.stream(make, seen.append)
        assert Path(seen[0]).parent == tmp_path
        assert run.call(["env"], env={"PATH": os.environ["PATH"]}).stdout.splitlines()[1:] == []
    assert run.inherited() == dict(os.environ)


def test_our_own_temporary_folders_are_in_the_work_folder_in_threads_too(tmp_path: Path) -> None:
    def parent(_: int = 0) -> Path:
        with run.temporary_folder() as folder:
            return folder.parent

    with run.temporary_files_in(tmp_path), run.threads(2) as threads:
        assert {parent(), *threads.map(parent, range(4))} == {tmp_path}
    assert parent() != tmp_path
    assert list(tmp_path.iterdir()) == []


def test_a_sandbox_ends_with_its_owner(tmp_path: Path) -> None:
    """The owner gets SIGKILL; its grandchild, a daemon in its own session, ends as well."""
    sandbox = "setsid sleep 6543.21 & sleep 6543.21"
    script = f"from provisioner.process import run; run.call(run.sandbox_argv(['sh', '-c', {sandbox!r}]))"
    owner = subprocess.Popen([sys.executable, "-c", script])
    assert until(lambda: len(sleepers()) == 2)
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    assert until(lambda: not sleepers())


def sleepers() -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == b"sleep\x006543.21\x00":
                found.append(str(path))
        except OSError:
            continue
    return found


def until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_lines_of_any_length_and_the_log() -> None:
    found: list[str] = []
    program = "import sys; print('x' * 3_000_000); print('log', file=sys.stderr); print('end', end='')"
    log = run.lines([sys.executable, "-c", program], found.append, silence=60)
    assert [len(line) for line in found] == [3_000_000, 3]
    assert log == "log\n"


def test_lines_arrive_while_the_program_runs() -> None:
    """It ends when its first line has been read, and gets what it waits for."""
    program = "import sys, time; print(sys.stdin.read(), flush=True); time.sleep(600)"

    class Enough(Exception):
        pass

    def read(line: str) -> None:
        assert line == "asked [token]"
        raise Enough

    token = b"asked eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.abc"
    with pytest.raises(Enough):
        run.lines([sys.executable, "-c", program], read, stdin=token, silence=60)


def test_lines_of_a_program_that_is_silent_or_fails() -> None:
    with pytest.raises(CommandFailed, match="timed out"):
        run.lines(["sleep", "600"], print, silence=0.1)
    with pytest.raises(CommandFailed, match="no such thing"):
        run.lines(["sh", "-c", "echo no such thing >&2; exit 3"], print, silence=60)
