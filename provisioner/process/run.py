"""The one module that starts processes.

Every child gets a process group of its own, which is killed when the caller leaves, however it
leaves; and a parent-death signal, so that even `kill -9` of this process ends the child. Children
that have children of their own belong in a sandbox (`sandbox_argv`), whose PID namespace dies whole.
Everything read from a child is scrubbed. argv is always a list, never a shell string.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

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

TAIL_LINES = 15
_TAIL_WIDTH = 1000  # characters of each
_CHUNK = 1 << 16  # bytes
_DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--")
_CONDOR_VARIABLE = re.compile(r"CONDOR_CONFIG$|_CONDOR_", re.IGNORECASE)
_temporary: ContextVar[Path | None] = ContextVar("_temporary", default=None)
_NO_SPACE = "No space left on device"
# What apt says of a mirror, whoever called it; the rest of the line names the address.
_UNREACHABLE = re.compile(
    r".*(Temporary failure resolving|Could not resolve|Could not connect to|Unable to connect to|"
    r"Connection failed|does not have a Release file|Failed to fetch).*"
)
# What apt says of a package or an index that is not the one its signed list names.
_CORRUPT = re.compile(
    r".*(Hash Sum mismatch|has unexpected size|signatures were invalid|Message has been manipulated|"
    r"BADSIG|Clearsigned file isn't valid|lzma error|not a Debian format archive).*"
)
_NO_PACKAGE = re.compile(r"E: (?:Unable to locate package|Package) '?([a-z0-9][a-z0-9.+-]*)")


@dataclass(frozen=True)
class Completed:
    """What a program left: its exit status and its scrubbed output."""

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
    """Run to the end and return the output. Raises CommandFailed, DiskFull, MissingHere."""
    with _child(argv, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            out, err = process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise CommandFailed(shown(argv), -signal.SIGKILL, f"no end after {seconds} s") from None
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
    """Run to the end, handing over each line of stdout and stderr as it comes.

    Of a line, `longest` characters at most: a program may never end its line.
    """
    last: deque[str] = deque(maxlen=TAIL_LINES)

    def on_output(line: str) -> None:
        last.append(line[:_TAIL_WIDTH])
        on_line(line)

    lines = LineSplitter(on_output, longest)
    with _child(argv, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        assert child.stdin and child.stdout
        with suppress(BrokenPipeError):  # it ended before it had read all; its status says the rest
            child.stdin.write(stdin)
            child.stdin.close()
        while data := os.read(child.stdout.fileno(), _CHUNK):
            lines.feed(data)
        lines.close()
        status = child.wait()
    if status != 0:
        raise failure(argv, status, _tail(last))


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Children, and theirs, put their temporary files there while the block runs; who owns it removes it.

    So what a child leaves that was killed goes with its work.
    """
    before = _temporary.set(folder)
    try:
        yield
    finally:
        _temporary.reset(before)


@contextmanager
def background(
    argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs while the block does; its output goes, unread, to the 0600 file `log`."""
    with (
        os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as out,
        _child(argv, env=env, cwd=cwd, stdout=out, stderr=subprocess.STDOUT) as process,
    ):
        yield process


def attached(argv: Sequence[str]) -> int:
    """Run with our own terminal, in our process group, for somebody to type to; its exit status.

    Ctrl-C is for that program alone. It dies with us like all others.
    """
    require(argv[0])
    # A handler of our own, which the child does not inherit as it would SIG_IGN.
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        return subprocess.run([*_DIE_WITH_PARENT, *argv], env=inherited(), check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def sandbox_argv(command: Sequence[str], *, private_network: bool = False) -> list[str]:
    """`command` in mount and PID namespaces of its own: when it or we die, nothing of it stays.

    Who is not root needs a user namespace for that, in which he is who he is.
    """
    user = [] if os.geteuid() == 0 else ["--user", "--map-current-user"]
    network = ["--net"] if private_network else []
    flags = ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation=private"]
    return ["unshare", *user, *flags, *network, "--", *command]


def inherited() -> dict[str, str]:
    """This process's environment, for a child that is told no other."""
    folder = _temporary.get()
    return dict(os.environ) if folder is None else {**os.environ, "TMPDIR": str(folder)}


def environment(**more: str) -> dict[str, str]:
    """This process's environment for a child that works on an image, and `more`.

    Without what would have HTCondor's tools in the image read the configuration of whoever calls
    us: an access point's users have CONDOR_CONFIG set, and the Python bindings set it too.
    """
    kept = {name: value for name, value in inherited().items() if not _CONDOR_VARIABLE.match(name)}
    return {**kept, **more}


def require(*tools: str) -> None:
    """Raises MissingHere with all of the tools that are not on PATH."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise MissingHere(
            f"This machine has no {', '.join(missing)}.",
            "On Debian, ./scripts/setup of a checkout installs everything that is needed.",
        )


def failure(argv: Sequence[str], status: int, tail: str) -> BakeryError:
    """The error for a program that ended badly, by what its last lines say of the cause."""
    if _NO_SPACE in tail:
        return DiskFull(
            f"The disk is full: `{shown(argv)}` said: {_NO_SPACE}.",
            "Free some space, or set WORKER_BAKERY_CACHE to a folder on a larger disk.",
        )
    corrupt = _CORRUPT.search(tail)
    if corrupt:
        return WrongChecksum(
            f"A package mirror serves what its own signed list does not name: {corrupt[0].strip()}",
            "A mirror that is being updated does so for some minutes: try again later, or name another:"
            " --mirror http://MIRROR/debian, or in --apt-source.",
        )
    of_rpm = package_errors.cause(tail)
    if of_rpm:
        return of_rpm
    unreachable = _UNREACHABLE.search(tail)
    if unreachable:
        return Unreachable(
            f"A package mirror did not answer: {unreachable[0]}",
            "Check the network, or name another: --mirror http://MIRROR/debian, or in --apt-source.",
        )
    unknown = _NO_PACKAGE.search(tail)
    if unknown:
        return BadInput(
            f"No package source that this bake has offers the package {unknown[1]}.",
            "Name one for an optional role (--with) that does: --apt-source FILE.sources.",
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


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe and not pipe.closed:
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # unsent input of a program that is gone


def _text(raw: bytes) -> str:
    return scrub(raw.decode("utf-8", "replace"))


def _tail(lines: Sequence[str] | deque[str]) -> str:
    return "\n".join(list(lines)[-TAIL_LINES:])
