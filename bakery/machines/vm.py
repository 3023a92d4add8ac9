"""A virtual machine of QEMU's, with everything of it on loopback and its serial console in a file."""

from __future__ import annotations

import shlex
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bakery.machines import serial
from bakery.machines.accelerator import Accelerator
from bakery.machines.conditions import Condition
from bakery.machines.machine import ENVIRONMENT, Machine
from bakery.machines.network import Network, on
from bakery.runtime import qemu_img
from provisioner.errors import MissingHere
from provisioner.process.run import TAIL_LINES, Completed, background, call, failure
from provisioner.process.scrub import scrub

TOOLS = ("qemu-system-x86_64", "qemu-img")
DISK, SERIAL, QEMU_LOG = "vm.qcow2", "serial.log", "qemu.log"  # in the machine's work folder
LOGIN_SECONDS = 30  # with KVM, until sshd, which has let in before, lets in again
_SSH_FAILED = 255
DISK_SIZE = "8G"  # larger than any base, so that growing the root is part of the proof
_EFI = (
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
)


@dataclass(frozen=True)
class Login:
    """Who may log in and become root: what the seed and the base agree on."""

    user: str
    key: Path  # a private key for ssh


@dataclass(frozen=True)
class Settings:
    image: Path
    seed: Path  # a NoCloud ISO
    login: Login
    accelerator: Accelerator
    firmware: Literal["bios", "efi"] = "bios"
    memory: int = 2048  # MiB
    cpus: int = 2
    disks: tuple[Path, ...] = ()  # more, raw and written to; /dev/vdc and on
    network: Network | None = None  # whose gateway is the guest's; by default ours


@dataclass(frozen=True)
class VirtualMachine(Machine):
    settings: Settings
    ssh_port: int
    started: float  # time.monotonic() at power-on

    powered_off = 0
    pause = 1.0

    @property
    def slower(self) -> float:
        return self.settings.accelerator.slower

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        expect: Sequence[int] = (0,),
        seconds: float = 60,
    ) -> Completed:
        """Over ssh, asked again while it does not let in. Its status 255, for any failure, is no answer."""
        reached = Condition(
            f"ssh runs {argv[0]}",
            lambda: self._call(argv, seconds, stdin),
            LOGIN_SECONDS * self.slower,
            lambda done: not _was_not_let_in(done),
        )
        done = self.wait(reached)
        if done.status in expect:
            return done
        said = "\n".join((done.stdout + done.stderr).splitlines()[-TAIL_LINES:])
        raise failure(argv, done.status, said)

    def _call(self, argv: Sequence[str], seconds: float, stdin: bytes = b"") -> Completed:
        every = range(-64, 256)
        return call(self.ssh(argv), stdin=stdin, expect=every, seconds=seconds * self.slower)

    def ssh(self, argv: Sequence[str]) -> list[str]:
        """The ssh client's command line that runs a program inside, as root."""
        options = ("BatchMode=yes", "IdentitiesOnly=yes", "LogLevel=ERROR", "ConnectTimeout=30",
                   "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")  # fmt: skip
        login = self.settings.login
        return on(self.settings.network, [
            *("ssh", "-F", "/dev/null", "-i", str(login.key), "-p", str(self.ssh_port)),
            *(word for option in options for word in ("-o", option)),
            # The server hands one string to a shell; quoted, it comes apart as it was put together.
            *(f"{login.user}@127.0.0.1", shlex.join(["sudo", "-n", *ENVIRONMENT, *argv])),
        ])  # fmt: skip

    def wait_ssh(self, seconds: float) -> None:
        """Until an ssh server greets, on our own network; these seconds are as they are.

        Raises NotProven; at once when QEMU ends, or the console shows that there is no use in waiting.
        """
        self.wait(Condition("an answer on ssh", lambda: _greets(self.ssh_port), seconds))

    def wait_login(self, seconds: float) -> None:
        """Until the login's key lets in: cloud-init may write it after sshd has started."""
        let_in = f"{self.settings.login.user} can log in"
        self.wait(
            Condition(let_in, lambda: self._call(["true"], 60), seconds, lambda done: not done.status)
        )

    def over(self) -> str:
        """QEMU ended, or the console shows that the guest will not come up."""
        if not self.is_on():
            return f"The machine ended: {self.end()}"
        found = serial.diagnose(self.console_text())
        return f"The machine will not come up: {found}" if found and found.final else ""

    def _last_words(self) -> str:
        found = serial.diagnose(self.console_text())
        said = [str(found)] if found else []
        ended = [] if self.is_on() else [self.end()]
        return "\n".join([*ended, *said, super()._last_words()])

    def end(self) -> str:
        """How QEMU ended, and what it said."""
        status = self.process.wait()
        how = f"ended with status {status}" if status >= 0 else f"was killed by signal {-status}"
        said = scrub((self.console.parent / QEMU_LOG).read_text("utf-8", "replace")).strip()
        return f"QEMU {how}, and said: {said}" if said else f"QEMU {how}."


@contextmanager
def boot(settings: Settings, work: Path) -> Iterator[VirtualMachine]:
    """A machine on a throw-away overlay of the image; off, one way or another, when the block ends."""
    disk, console, port = work / DISK, work / SERIAL, free_port()
    qemu_img.overlay(settings.image, disk, DISK_SIZE)
    console.touch(0o600)
    argv = command(settings, disk, console, port, _firmware(settings.firmware, work))
    with background(on(settings.network, argv), log=work / QEMU_LOG) as process:
        yield VirtualMachine(console, process, settings, port, time.monotonic())


def new_key(work: Path) -> Path:
    """An ssh key without a passphrase; the public one is beside it, in *.pub."""
    key = work / "ssh-key"
    call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "worker-bakery", "-f", str(key)])
    return key


def command(
    settings: Settings, disk: Path, console: Path, port: int, firmware: tuple[str, ...]
) -> list[str]:
    return [
        "qemu-system-x86_64",
        *("-M", "q35", *settings.accelerator.options),
        *("-smp", str(settings.cpus), "-m", str(settings.memory)),
        *("-nodefaults", "-display", "none", "-serial", f"file:{console}"),
        *firmware,
        *("-drive", f"file={disk},if=virtio,format=qcow2,discard=unmap,cache=unsafe"),
        *("-drive", f"file={settings.seed},if=virtio,format=raw,readonly=on"),
        *(word for more in settings.disks for word in ("-drive", f"file={more},if=virtio,format=raw")),
        *("-nic", f"user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{port}-:22"),
        *("-device", "virtio-rng-pci"),
    ]


def _firmware(kind: str, work: Path) -> tuple[str, ...]:
    if kind == "bios":
        return ()
    for code, variables in _EFI:
        if Path(code).exists():
            shutil.copyfile(variables, work / "efivars.fd")
            return (
                *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"),
                *("-drive", f"if=pflash,format=raw,unit=1,file={work / 'efivars.fd'}"),
            )
    raise MissingHere("There is no OVMF firmware for EFI machines here.", "On Debian: apt install ovmf.")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _was_not_let_in(done: Completed) -> bool:
    """Has ssh ended before it could start the program? Then nothing was done, and it can be tried again."""
    before = ("ssh: connect to host", "kex_exchange_identification", "Connection timed out during banner")
    return done.status == _SSH_FAILED and any(text in done.stderr for text in before)


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
