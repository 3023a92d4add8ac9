"""Run child processes. No other module starts processes.

Each child gets its own process group, which is killed when the caller leaves, also by an exception, and a
parent-death signal, so that it ends even if this process gets SIGKILL. Children that start processes
themselves must run in a sandbox (`sandbox_argv`), whose PID namespace is killed as a whole. Secrets are
removed from all output. argv is always a list, never a shell string.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from provisioner.errors import (
    BadInput,
    BakeryError,
    CommandFailed,
    DiskFull,
    MissingHere,
    Unreachable,
    WrongChecksum,
)
from provisioner.process import package_errors
from provisioner.process.line_splitter import LONGEST, LineSplitter
from provisioner.process.scrub import scrub, shown

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

TAIL_LINES = 15
_TAIL_WIDTH = 1000  # characters of each
_CHUNK = 1 << 16  # bytes
_ANY_LENGTH = 1 << 30  # characters of a line of our own programs
_DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")
_CONDOR_VARIABLE = re.compile(r"CONDOR_CONFIG$|_CONDOR_", re.IGNORECASE)
_temporary: ContextVar[Path | None] = ContextVar("_temporary", default=None)
_NO_SPACE = "No space left on device"
# Messages of apt about a mirror; the rest of the line contains the address.
_UNREACHABLE = re.compile(
    r".*(Temporary failure resolving|Could not resolve|Could not connect to|Unable to connect to|"
    r"Connection failed|does not have a Release file|Failed to fetch).*"
)
# Messages of apt about a package or an index that does not match the signed list.
_CORRUPT = re.compile(
    r".*(Hash Sum mismatch|has unexpected size|signatures were invalid|Message has been manipulated|"
    r"BADSIG|Clearsigned file isn't valid|lzma error|not a Debian format archive).*"
)
# A message of provisioner/roles/locked.py.
_GONE = re.compile(r"The lock has versions that no repository offers any more: .*")
_NO_PACKAGE = re.compile(r"E: (?:Unable to locate package|Package) '?([a-z0-9][a-z0-9.+-]*)")


@dataclass(frozen=True)
class Completed:
    """The exit status of a program, and its output with secrets removed."""

    status: int
    stdout: str
    stderr: str


def call(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    expect: Sequence[int] = (0,),
    seconds: float | None = None,
) -> Completed:
    """Run a program until it exits and return its output.

    `expect` lists the statuses that are no failure; after `seconds` the program is killed. Raises the error
    of `failure` for other statuses, CommandFailed on a timeout, MissingHere if the program is not
    installed.
    """
    with _child(argv, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            out, err = process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise CommandFailed(shown(argv), -signal.SIGKILL, f"timed out after {seconds} s") from None
    done = Completed(process.returncode, _text(out), _text(err))
    if done.status not in expect:
        raise failure(argv, done.status, _tail((done.stdout + done.stderr).splitlines()))
    return done


def stream(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    longest: int = LONGEST,
) -> None:
    """Run a program until it exits, calling `on_line` with each line of stdout and stderr.

    Lines are truncated to `longest` characters. Raises the error of `failure`, MissingHere.
    """
    last: deque[str] = deque(maxlen=TAIL_LINES)

    def on_output(line: str) -> None:
        last.append(line[:_TAIL_WIDTH])
        on_line(line)

    lines = LineSplitter(on_output, longest)
    with _child(argv, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        assert child.stdin and child.stdout
        with suppress(BrokenPipeError):  # it exited before reading everything; its status is checked below
            child.stdin.write(stdin)
            child.stdin.close()
        while data := os.read(child.stdout.fileno(), _CHUNK):
            lines.feed(data)
        lines.close()
        status = child.wait()
    if status != 0:
        raise failure(argv, status, _tail(last))


def lines(
    argv: Sequence[str],
    on_line: Callable[[str], None],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    silence: float,
) -> str:
    """Run a program until it exits, calling `on_line` with each line of stdout; return stderr.

    For our own programs: a line may be long. A program that prints nothing for `silence` seconds is
    killed. Raises the error of `failure`, CommandFailed if it was killed, MissingHere.
    """
    with _child(argv, env=env, cwd=None, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdin
        with suppress(BrokenPipeError):  # it exited before reading everything; its status is checked below
            child.stdin.write(stdin)
            child.stdin.close()
        try:
            errors = _text(_read(child, on_line, silence))
        except TimeoutError:
            raise CommandFailed(shown(argv), -signal.SIGKILL, f"timed out after {silence} s") from None
        status = child.wait()
    if status != 0:
        raise failure(argv, status, _tail(errors.splitlines()))
    return errors


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Set TMPDIR of child processes to `folder` while the block runs.

    The owner of the folder removes it, together with the files of children that were killed.
    """
    before = _temporary.set(folder)
    try:
        yield
    finally:
        _temporary.reset(before)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a private folder in that of `temporary_files_in` (default: the system's); remove it then."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(dir=_temporary.get()) as name:
        yield Path(name)


def threads(count: int) -> ThreadPoolExecutor:
    """Threads with the folder that `temporary_files_in` has set for this one."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(count, initializer=_temporary.set, initargs=(_temporary.get(),))


@contextmanager
def background(
    argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program while the block runs; its output is written to `log` (mode 0600), secrets included."""
    with (
        os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as out,
        _child(argv, env=env, cwd=cwd, stdout=out, stderr=subprocess.STDOUT) as process,
    ):
        yield process


@contextmanager
def piped(argv: Sequence[str], *, stdin: bytes = b"") -> Iterator[subprocess.Popen[bytes]]:
    """Run a program while the block runs; the caller reads its stdout, which includes stderr.

    For several programs at once, whose output is read as it comes.
    """
    with _child(argv, env=None, cwd=None, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdin
        with suppress(BrokenPipeError):  # it exited before reading everything; the caller sees its status
            process.stdin.write(stdin)
            process.stdin.close()
        yield process


@contextmanager
def meanwhile(argv: Sequence[str]) -> Iterator[None]:
    """Run a program while the block runs, then wait for its end.

    It prints little. If the block raises an error, the program is killed. Raises the error of `failure`.
    """
    with piped(argv) as child:
        yield
        assert child.stdout
        output, status = child.stdout.read(), child.wait()
    if status != 0:
        raise failure(argv, status, _tail(_text(output).splitlines()))


def attached(argv: Sequence[str]) -> int:
    """Run an interactive program on our terminal and return its exit status.

    It shares our process group. Ctrl-C interrupts only the program, not this process.
    """
    require(argv[0])
    # A handler: unlike SIG_IGN, children do not inherit it.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return subprocess.run([*_DIE_WITH_PARENT, *argv], env=inherited(), check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def sandbox_argv(command: Sequence[str], *, private_network: bool = False) -> list[str]:
    """The argv that runs `command` in its own mount and PID namespaces.

    When the command or this process ends, all its processes and mounts are removed. Without root, a user
    namespace that maps the current user is created as well.
    """
    user = [] if os.geteuid() == 0 else ["--user", "--map-current-user"]
    network = ["--net"] if private_network else []
    flags = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private"]
    return ["unshare", *user, *flags, *network, "--", *command]


def inherited() -> dict[str, str]:
    """The environment of this process, with TMPDIR as set by `temporary_files_in`."""
    folder = _temporary.get()
    return dict(os.environ) if folder is None else {**os.environ, "TMPDIR": str(folder)}


def environment(**more: str) -> dict[str, str]:
    """The environment for a child that works on an image: ours, without HTCondor's variables, plus `more`.

    HTCondor's tools in the image must not read the configuration of this machine: users of an access point
    have CONDOR_CONFIG set, and the Python bindings set it too.
    """
    kept = {name: value for name, value in inherited().items() if not _CONDOR_VARIABLE.match(name)}
    return {**kept, **more}


def require(*tools: str) -> None:
    """Raises MissingHere, naming all tools that are not on PATH."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise MissingHere(
            f"Missing on this machine: {', '.join(missing)}.",
            "scripts/setup of a checkout installs all dependencies.",
        )


def failure(argv: Sequence[str], status: int, tail: str) -> BakeryError:
    """The error for a failed program, by the cause in `tail`, the last lines of its output.

    Returns DiskFull, WrongChecksum, Unreachable, BadInput, or CommandFailed for an unknown cause.
    """
    if _NO_SPACE in tail:
        return DiskFull(
            f"The disk is full: `{shown(argv)}` failed: {_NO_SPACE}.",
            "Free some space, or set WORKER_BAKERY_CACHE to a folder on a larger disk.",
        )
    corrupt = _CORRUPT.search(tail)
    if corrupt:
        return WrongChecksum(
            f"A file from a package mirror does not match its signed list: {corrupt[0].strip()}",
            "The mirror may be in the middle of an update. Retry in a few minutes, or choose another: "
            "--mirror http://MIRROR/debian, or --apt-source.",
        )
    if gone := _GONE.search(tail):
        return Unreachable(
            f"{gone[0].rstrip('.')}.",
            "Remove the lock file to record a new lock, or use a mirror that has them.",
        )
    of_rpm = package_errors.cause(tail)
    if of_rpm:
        return of_rpm
    unreachable = _UNREACHABLE.search(tail)
    if unreachable:
        return Unreachable(
            f"A package mirror did not respond: {unreachable[0]}",
            "Check the network, or choose another mirror: --mirror http://MIRROR/debian, --apt-source, or "
            "--repository-url ID=URL for a repository of a definition file.",
        )
    unknown = _NO_PACKAGE.search(tail)
    if unknown:
        return BadInput(
            f"No package source of this bake offers the package {unknown[1]}.",
            "Check its name. For a package of a definition file, add [[repositories]] to the file; for an "
            "optional role (--with), add --apt-source FILE.sources.",
        )
    return CommandFailed(shown(argv), status, tail)


@contextmanager
def _child(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    stdout: int | object,
    stderr: int,
) -> Iterator[subprocess.Popen[bytes]]:
    require(argv[0])
    process = subprocess.Popen(
        [*_DIE_WITH_PARENT, *argv],
        stdin=subprocess.PIPE,
        stdout=stdout,  # type: ignore[arg-type]  # a pipe number or an open file
        stderr=stderr,
        env=inherited() if env is None else env,
        cwd=cwd,
        process_group=0,
    )
    try:
        yield process
    finally:
        _end(process)


def _read(child: subprocess.Popen[bytes], on_line: Callable[[str], None], silence: float) -> bytes:
    """Read until both streams end; return stderr. Raises TimeoutError: neither had anything for so long."""
    assert child.stdout and child.stderr
    out, errors = LineSplitter(on_line, _ANY_LENGTH), bytearray()
    takers = {child.stdout.fileno(): out.feed, child.stderr.fileno(): errors.extend}
    with selectors.DefaultSelector() as streams:
        for stream_number in takers:
            streams.register(stream_number, selectors.EVENT_READ)
        while streams.get_map():
            if not (ready := streams.select(silence)):
                raise TimeoutError
            for key, _ in ready:
                data = os.read(key.fd, _CHUNK)
                takers[key.fd](data)
                if not data:
                    streams.unregister(key.fd)
    out.close()
    return bytes(errors)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe and not pipe.closed:
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # unsent input of a program that has exited


def _text(raw: bytes) -> str:
    return scrub(raw.decode("utf-8", "replace"))


def _tail(lines: Sequence[str] | deque[str]) -> str:
    return "\n".join(list(lines)[-TAIL_LINES:])
