"""Run a virtual machine in QEMU; its ssh port is on loopback and its serial console in a file."""

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
from bakery.machines.machine import ENVIRONMENT, Machine
from bakery.machines.network import Network, on
from bakery.runtime import host_paths, qemu_img
from bakery.runtime.conditions import Condition
from provisioner.errors import MissingHere
from provisioner.process.run import TAIL_LINES, Completed, background, call, failure
from provisioner.process.scrub import scrub

TOOLS = ("qemu-system-x86_64", "qemu-img")
DISK, SERIAL, QEMU_LOG = "vm.qcow2", "serial.log", "qemu.log"  # in the machine's work folder
LOGIN_SECONDS = 30  # with KVM, until an ssh server that accepted a login before accepts the next one
_SSH_FAILED = 255
DISK_SIZE = "8G"  # larger than any base, so that the root file system must grow


@dataclass(frozen=True)
class Login:
    """The user that the seed and the base agree on; it may become root."""

    user: str
    key: Path  # a private key for ssh


@dataclass(frozen=True)
class Settings:
    """The image, the seed and the devices of a virtual machine."""

    image: Path
    seed: Path  # a NoCloud ISO
    login: Login
    accelerator: Accelerator
    firmware: Literal["bios", "efi"] = "bios"
    memory: int = 2048  # MiB
    cpus: int = 2
    disks: tuple[Path, ...] = ()  # further raw disks, written to; /dev/vdc and so on
    network: Network | None = None  # the network that QEMU runs on; None: the current one


@dataclass(frozen=True)
class VirtualMachine(Machine):
    """A started virtual machine; `boot` starts it, and ends it after its block."""

    settings: Settings
    ssh_port: int
    started: float  # time.monotonic() at power-on

    power_off_status = 0
    interval = 1.0

    @property
    def slowdown(self) -> float:
        return self.settings.accelerator.slowdown

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        expect: Sequence[int] = (0,),
        seconds: float = 60,
    ) -> Completed:
        """Run a program over ssh, again while ssh cannot connect.

        Status 255 is always an error, because ssh ends with it when it fails itself.
        """
        reached = Condition(
            f"ssh runs {argv[0]}",
            lambda: self._call(argv, seconds, stdin),
            LOGIN_SECONDS * self.slowdown,
            lambda done: not _has_connect_failed(done),
        )
        done = self.wait(reached)
        if done.status in expect:
            return done
        output = "\n".join((done.stdout + done.stderr).splitlines()[-TAIL_LINES:])
        raise failure(argv, done.status, output)

    def _call(self, argv: Sequence[str], seconds: float, stdin: bytes = b"") -> Completed:
        any_status = range(-64, 256)
        return call(self.ssh(argv), stdin=stdin, expect=any_status, seconds=seconds * self.slowdown)

    def ssh(self, argv: Sequence[str]) -> list[str]:
        """Return the ssh command line that runs a program in the guest, as root."""
        options = ("BatchMode=yes", "IdentitiesOnly=yes", "LogLevel=ERROR", "ConnectTimeout=30",
                   "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null")  # fmt: skip
        login = self.settings.login
        return on(self.settings.network, [
            *("ssh", "-F", "/dev/null", "-i", str(login.key), "-p", str(self.ssh_port)),
            *(word for option in options for word in ("-o", option)),
            # The server passes one string to a shell, so the arguments are quoted.
            *(f"{login.user}@127.0.0.1", shlex.join(["sudo", "-n", *ENVIRONMENT, *argv])),
        ])  # fmt: skip

    def wait_ssh(self, seconds: float) -> None:
        """Wait until an ssh server answers, on the current network; the limit is not multiplied.

        Raises NotProven: it does not answer, QEMU has ended, or the console log has a final sign.
        """
        self.wait(Condition("an answer on ssh", lambda: _ssh_answers(self.ssh_port), seconds))

    def wait_login(self, seconds: float) -> None:
        """Wait until the key is accepted: cloud-init may write it after sshd has started."""
        description = f"{self.settings.login.user} can log in"
        self.wait(
            Condition(description, lambda: self._call(["true"], 60), seconds, lambda done: not done.status)
        )

    def end_reason(self) -> str:
        """Return that QEMU has ended, or the final sign in the console log; "" for neither."""
        if not self.is_on():
            return f"The machine has ended: {self.describe_exit()}"
        diagnosis = serial.diagnose(self.console_text())
        return f"The machine cannot boot: {diagnosis}" if diagnosis and diagnosis.final else ""

    def _console_tail(self) -> str:
        diagnosis = serial.diagnose(self.console_text())
        cause = [str(diagnosis)] if diagnosis else []
        ended = [] if self.is_on() else [self.describe_exit()]
        return "\n".join([*ended, *cause, super()._console_tail()])

    def describe_exit(self) -> str:
        """Return how QEMU ended, and what it printed."""
        status = self.process.wait()
        how = f"ended with status {status}" if status >= 0 else f"was killed by signal {-status}"
        output = scrub((self.console.parent / QEMU_LOG).read_text("utf-8", "replace")).strip()
        return f"QEMU {how}, and printed: {output}" if output else f"QEMU {how}."


def new_disk(settings: Settings, work: Path) -> None:
    """Create the machine's disk in its work folder: an overlay of the image."""
    qemu_img.overlay(settings.image, work / DISK, DISK_SIZE)


@contextmanager
def boot(settings: Settings, work: Path) -> Iterator[VirtualMachine]:
    """Start a virtual machine on the disk of `new_disk` while the block runs.

    Raises MissingHere: it boots by EFI, and there is no OVMF firmware.
    """
    disk, console, port = work / DISK, work / SERIAL, free_port()
    console.touch(0o600)
    argv = command(settings, disk, console, port, _firmware(settings.firmware, work))
    with background(on(settings.network, argv), log=work / QEMU_LOG) as process:
        yield VirtualMachine(console, process, settings, port, time.monotonic())


def new_key(work: Path) -> Path:
    """Create an ssh key without a passphrase; the public key is beside it, in *.pub."""
    key = work / "ssh-key"
    call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "worker-bakery", "-f", str(key)])
    return key


def command(
    settings: Settings, disk: Path, console: Path, port: int, firmware: tuple[str, ...]
) -> list[str]:
    """Return QEMU's command line; `port` on loopback is forwarded to the guest's port 22."""
    return [
        host_paths.qemu(),
        *("-M", "q35", *settings.accelerator.options),
        *("-smp", str(settings.cpus), "-m", str(settings.memory)),
        *("-nodefaults", "-display", "none", "-serial", f"file:{console}"),
        *firmware,
        *("-drive", f"file={disk},if=virtio,format=qcow2,discard=unmap,cache=unsafe"),
        *("-drive", f"file={settings.seed},if=virtio,format=raw,readonly=on"),
        *(word for raw in settings.disks for word in ("-drive", f"file={raw},if=virtio,format=raw")),
        *("-nic", f"user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{port}-:22"),
        *("-device", "virtio-rng-pci"),
    ]


def _firmware(kind: str, work: Path) -> tuple[str, ...]:
    if kind == "bios":
        return ()
    found = host_paths.firmware()
    if found is None:
        raise MissingHere(
            "The OVMF firmware for EFI machines is not installed.",
            "On Debian and Ubuntu, install ovmf; on Enterprise Linux and Fedora, edk2-ovmf.",
        )
    variables = work / "efivars.fd"
    if not variables.exists():
        shutil.copyfile(found.variables, variables)
    return (
        *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={found.code}"),
        *("-drive", f"if=pflash,format=raw,unit=1,file={variables}"),
    )


def free_port() -> int:
    """Return a TCP port that is free on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _has_connect_failed(done: Completed) -> bool:
    """Return whether ssh failed before it started the program, which can then be run again."""
    messages = ("ssh: connect to host", "kex_exchange_identification", "Connection timed out during banner")
    return done.status == _SSH_FAILED and any(text in done.stderr for text in messages)


def _ssh_answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
