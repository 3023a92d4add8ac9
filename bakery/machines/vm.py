"""A virtual machine of QEMU's, with everything of it on loopback and its serial console in a file."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bakery import qemu
from bakery.machines.accelerator import Accelerator
from bakery.machines.machine import ENVIRONMENT, Machine
from bakery.machines.network import Network, on
from provisioner.errors import MissingHere
from provisioner.run import Completed, background, call

TOOLS = ("qemu-system-x86_64", "qemu-img")
DISK, SERIAL = "vm.qcow2", "serial.log"  # in the machine's work folder
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
        """Over ssh, whose own failures look like the program's status 255."""
        return call(self.ssh(argv), stdin=stdin, expect=expect, seconds=seconds * self.slower)

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

    def wait_ssh(self, seconds: float) -> bool:
        """Whether an ssh server greeted in time, on our own network; QEMU's end is noticed at once."""
        end = time.monotonic() + seconds
        while self.is_on() and time.monotonic() < end:
            if _greets(self.ssh_port):
                return True
            time.sleep(1)
        return False


def last_lines(serial: Path, count: int = 20) -> str:
    """What a serial console showed last, without colours, cursor movements and empty lines."""
    if not serial.exists():
        return ""
    text = re.sub(r"\x1b\[[0-9;?!]*[A-Za-z]", "", serial.read_text("utf-8", "replace"))
    return "\n".join([row for row in text.splitlines() if row.strip()][-count:])


@contextmanager
def boot(settings: Settings, work: Path) -> Iterator[VirtualMachine]:
    """A machine on a throw-away overlay of the image; off, one way or another, when the block ends."""
    disk, serial, port = work / DISK, work / SERIAL, _free_port()
    qemu.overlay(settings.image, disk, DISK_SIZE)
    serial.touch(0o600)
    argv = command(settings, disk, serial, port, _firmware(settings.firmware, work))
    with background(on(settings.network, argv), log=work / "qemu.log") as process:
        yield VirtualMachine(serial, process, settings, port, time.monotonic())


def new_key(work: Path) -> Path:
    """An ssh key without a passphrase; the public one is beside it, in *.pub."""
    key = work / "ssh-key"
    call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "worker-bakery", "-f", str(key)])
    return key


def command(
    settings: Settings, disk: Path, serial: Path, port: int, firmware: tuple[str, ...]
) -> list[str]:
    return [
        "qemu-system-x86_64",
        *("-M", "q35", *settings.accelerator.options),
        *("-smp", str(settings.cpus), "-m", str(settings.memory)),
        *("-nodefaults", "-display", "none", "-serial", f"file:{serial}"),
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


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
