"""The packer engine: packer boots the base in a virtual machine, and our provisioner changes it over ssh.

It mounts no disk, so it does not require root and supports file systems that this kernel does not know.
It resumes from the checkpoints of either engine. Its own checkpoints are snapshots of the running machine
(bakery/engines/packer/disk_layers.py), which continues while they are written to the store.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from bakery.engines import checkpoints
from bakery.engines.chroot.engine import Repositories
from bakery.engines.packer import build_files, disk_layers, machine_readable, qmp
from bakery.engines.packer import program as packer_program
from bakery.engines.packer.build_files import Files, Start
from bakery.engines.packer.machine_readable import Message
from bakery.machines import emulation, serial
from bakery.machines.accelerator import Accelerator
from bakery.machines.serial import Diagnosis
from bakery.runtime import host_paths, privileges, qemu_img
from bakery.store.store import Store
from provisioner import errors
from provisioner.checkpoints import Policy
from provisioner.disk import growth
from provisioner.errors import BakeryError, CommandFailed, DiskFull, Interrupted, Unreachable
from provisioner.events import Event, Monitor, keep_log, line, phase, warn
from provisioner.plan import Plan
from provisioner.process import run
from provisioner.process.scrub import scrub

_POLL_SECONDS = 0.2
_EXIT_SECONDS = 2  # that packer may take to notice that the machine has ended, and QEMU to quit
_PORT_RETRIES = 3
_PORT_TAKEN = "Could not set up host forwarding rule"  # a message of QEMU
_FULL = 4 << 20  # bytes; QEMU cannot write to a disk with less free space
_BOOT = "boot the machine and wait for ssh"


def bake(
    plan: Plan,
    store: Store,
    repositories: Repositories,
    accelerator: Accelerator,
    work: Path,
    monitor: Monitor,
    keep: Policy = "auto",
) -> Path:
    """Return the finished, sealed raw disk in `work`.

    The base must be in the store, protected from removal by the caller. Raises what `build` raises, and
    MissingHere: packer, its qemu plugin or another tool is missing.
    """
    run.require(*host_paths.programs(packer_program.TOOLS))
    packer_program.find()
    with checkpoints.nearest(plan, store, monitor) as (done, found):
        start = Start(enlarged(found, plan, work, monitor) if not done else found, done)
        folder = work / build_files.FOLDER
        files = build_files.write(folder, plan, start, repositories, accelerator, keep)
        with emulation.turn(accelerator, monitor):
            build(files, _CheckpointWriter(plan, store, work, monitor))
        return _copy_disk(files, work, monitor)


def enlarged(base: Path, plan: Plan, folder: Path, monitor: Monitor) -> Path:
    """The disk to start from: the base, or a copy of it in `folder` with the root size of the plan.

    The machine enlarges the file system (bakery/engines/packer/guest.py). Raises BadInput.
    """
    if not plan.root_size:
        return base
    raw, disk = folder / "enlarged.raw", folder / "enlarged.qcow2"
    with phase(monitor, "copy the base and enlarge its disk"):
        qemu_img.to_raw(base, raw)
        growth.enlarge(raw, plan.root_size)
        qemu_img.to_qcow2(raw, disk)
        raw.unlink()
    return disk


def _copy_disk(files: Files, work: Path, monitor: Monitor) -> Path:
    disk = work / "disk.raw"
    with phase(monitor, "copy the machine's disk"):
        qemu_img.to_raw(disk_layers.top(files.disk), disk)
    shutil.rmtree(files.folder)
    return disk


@dataclass(frozen=True)
class _CheckpointWriter:
    """A monitor that writes snapshots of the machine to the store and forwards all other events."""

    plan: Plan
    store: Store
    work: Path
    monitor: Monitor

    def emit(self, event: Event) -> None:
        match event:
            case {"event": "checkpoint", "steps": done, "disk": disk}:
                args = self.plan, done, self.store, self.work, self.monitor
                checkpoints.keep(Path(disk), *args, form="qcow2")
            case _:
                self.monitor.emit(event)


def build(files: Files, monitor: Monitor) -> None:
    """Run `packer build`; retry if another process took the port that packer had chosen for ssh.

    Raises the error that our provisioner reported, otherwise DiskFull, Unreachable, CommandFailed or
    BakeryError.
    """
    cause = _run_packer(files, monitor)
    for _ in range(_PORT_RETRIES):
        if cause is None or _PORT_TAKEN not in _text(files.qemu_log):
            break
        warn(monitor, "Another process took the port forwarded to the machine. Trying another port.")
        for path in (files.qemu_status, files.qemu_log, files.stream):
            path.unlink(missing_ok=True)
        shutil.rmtree(files.output, ignore_errors=True)
        cause = _run_packer(files, monitor)
    if cause:
        for log in (files.serial, files.stream, files.log, files.qemu_log):
            keep_log(monitor, log)
        raise cause


def _run_packer(files: Files, monitor: Monitor) -> BakeryError | None:
    """Run packer in a sandbox: if this process dies, so do packer, its plugins and QEMU.

    A container without privileges allows no sandbox; its own end then removes them.
    """
    argv = [
        "packer",
        "build",
        "-machine-readable",
        f"-var-file={files.variables}",
        str(build_files.TEMPLATE),
    ]
    env = packer_program.settings(
        {
            "PACKER_CACHE_DIR": str(files.folder / "cache"),
            "PACKER_LOG": "1",
            "PACKER_LOG_PATH": str(files.log),
            "TMPDIR": ".",  # short, because the paths of sockets in it are limited to 108 bytes
        }
    )
    files.log.touch(0o600)
    output = _Output(monitor)
    with run.background(_contained(argv, monitor), log=files.stream, env=env, cwd=files.folder) as process:
        status = _follow(process, files, output)
    return None if status == 0 and output.done else _cause(files, output, status)


def _contained(argv: list[str], monitor: Monitor) -> list[str]:
    problem = privileges.sandbox_obstacle()
    if not problem:
        return run.sandbox_argv(argv)
    warn(
        monitor,
        f"Packer runs without a sandbox: {problem} If this bake is killed, packer and QEMU continue "
        "until the container ends.",
    )
    return argv


def _follow(process: Popen[bytes], files: Files, output: _Output) -> int | None:
    """Read packer's output until it exits; its status, or None if only the machine has ended."""
    until, console = float("inf"), _Console(files.serial)
    with closing(_Stream(files.stream)) as stream:
        while time.monotonic() < until:
            status = process.poll()  # before reading: nothing is written after the exit
            output.read(stream.rows())
            if status is not None:
                return status
            ended = until == float("inf") and (files.qemu_status.exists() or console.is_final())
            if ended and not output.done:
                until = time.monotonic() + _EXIT_SECONDS
            time.sleep(_POLL_SECONDS)
    quit_qemu(files)
    return None


def quit_qemu(files: Files) -> None:
    """Have QEMU quit, so that it flushes the guest's writes to the disk. Raises Interrupted."""
    if files.qemu_status.exists():
        return
    try:
        with qmp.connected(files.monitor) as qemu:
            qemu.execute("quit")
    except Interrupted:
        raise
    except BakeryError:  # QEMU is ending, or does not answer
        pass
    until = time.monotonic() + _EXIT_SECONDS
    while not files.qemu_status.exists() and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)


@dataclass
class _Console:
    """The log of the serial console; it is diagnosed again whenever it has grown."""

    path: Path
    seen: int = 0

    def is_final(self) -> bool:
        """Whether the console shows an error that the machine cannot recover from."""
        size = self.path.stat().st_size
        grown, self.seen = size > self.seen, size
        return grown and _final(self.path) is not None


@dataclass
class _Output:
    """Interprets the output of packer and forwards what concerns the user to `monitor`."""

    monitor: Monitor
    lines: list[Message] = field(default_factory=list)
    error: Event | None = None  # reported by our provisioner
    done: bool = False
    waiting_since: float = 0.0  # when it waiting_since to wait for ssh

    def read(self, rows: Iterator[str]) -> None:
        for row in rows:
            message = machine_readable.parse(row)
            if message is None:
                line(self.monitor, row)
                continue
            self._handle(message)

    def _handle(self, message: Message) -> None:
        if message.kind != "ui" or message.is_error:
            self.lines.append(message)
        for event in machine_readable.events(message):
            match event:
                case {"event": "error"}:
                    self.error = event
                case {"event": "result"}:
                    self.done = True
                case {"event": "line", "text": text}:
                    self._text(str(text))
                case _:
                    self.monitor.emit(event)

    def _text(self, text: str) -> None:
        """Turn packer's messages about waiting for ssh into a phase; forward other lines."""
        if text.startswith("Waiting for SSH"):
            self.waiting_since = time.monotonic()
            self.monitor.emit({"event": "begin", "name": _BOOT})
        elif text.startswith("Connected to SSH") and self.waiting_since:
            seconds = round(time.monotonic() - self.waiting_since, 1)
            self.monitor.emit({"event": "end", "name": _BOOT, "seconds": seconds})
        else:
            line(self.monitor, text)


class _Stream:
    """Reads complete lines of a growing file, with secrets removed."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("r", encoding="utf-8", errors="replace")
        self._partial = ""

    def rows(self) -> Iterator[str]:
        """The complete lines that have not been returned yet."""
        while True:
            self._partial += self._file.readline()
            if not self._partial.endswith("\n"):
                return
            row, self._partial = self._partial.rstrip("\n"), ""
            yield scrub(row)

    def close(self) -> None:
        self._file.close()


def _cause(files: Files, output: _Output, status: int | None) -> BakeryError:
    """The reason why packer produced no image, as an error."""
    if shutil.disk_usage(files.folder).free < _FULL:
        return DiskFull(
            f"No space left on device for the disk of the virtual machine in {files.folder}.",
            "Free some space, or set WORKER_BAKERY_CACHE to a folder on a larger disk.",
        )
    if _final(files.serial) and not output.done:
        return Unreachable(f"The virtual machine failed. {_console(files)}")
    if output.error:
        return errors.from_event(output.error)
    if files.qemu_status.exists() and not output.done:
        ended = int(_text(files.qemu_status) or "-1")
        return CommandFailed(
            "qemu-system-x86_64", ended, f"{_text(files.qemu_log)}\n{_console(files)}".strip()
        )
    reasons = "\n".join(machine_readable.errors(output.lines))
    if not reasons:
        return BakeryError(
            f"packer exited before the image was finished and reported no error. {_last(files)}",
            "Check whether it was killed, for example by the out-of-memory killer (dmesg), and retry.",
        )
    return _ssh_failure(reasons, files) or run.failure(("packer", "build"), status or 1, reasons)


def _ssh_failure(reasons: str, files: Files) -> BakeryError | None:
    """The error if the login failed, else None. Only this function depends on packer's messages for it."""
    if "Timeout waiting for SSH" in reasons:
        return Unreachable(
            f"Timed out waiting for ssh on the virtual machine. {_console(files)}",
            "Check the console log. The base must have sshd, and cloud-init with the datasource NoCloud.",
        )
    if "authentication" in reasons or "unable to authenticate" in reasons:
        return Unreachable(
            f"The ssh server of the virtual machine rejected the key of this bake. {_console(files)}",
            "cloud-init on the base ignored the seed. Check that its datasource NoCloud is enabled.",
        )
    return None


def _final(console: Path) -> Diagnosis | None:
    found = serial.diagnose(_text(console))
    return found if found and found.final else None


def _console(files: Files) -> str:
    seen = _text(files.serial)
    found = serial.diagnose(seen)
    last = f"The last lines of the console:\n{serial.last_lines(seen, run.TAIL_LINES)}\n" if seen else ""
    return f"{found} {found.hint} {last}" if found else last


def _last(files: Files) -> str:
    last = "\n".join(_text(files.stream).splitlines()[-run.TAIL_LINES :])
    return f"The last lines of its output:\n{last}\n"


def _text(path: Path) -> str:
    with suppress(FileNotFoundError):
        return scrub(path.read_text("utf-8", "replace")).strip()
    return ""
