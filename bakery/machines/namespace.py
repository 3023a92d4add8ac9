"""Boot a root directory with systemd as PID 1 in its own namespaces: a namespace machine.

It boots in a second and requires root, but no kernel and no disk of its own. It runs units, cloud-init,
HTCondor and the power-off of a worker, but not the boot loader, the kernel, the disk and the network
card; a virtual machine runs those, too.

It writes nothing outside its root directory; /run, /tmp and /dev are in memory. When it ends, the kernel
ends all its processes.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bakery.machines.machine import ENVIRONMENT, Machine
from bakery.machines.network import Network
from provisioner.errors import BadInput, MissingHere, NotProven
from provisioner.process.run import Completed, background, call, require

# Units that need hardware or a login; masked in /run, which is in memory.
MASKED = (
    "systemd-modules-load.service",
    "systemd-udevd.service",
    "systemd-udev-trigger.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-networkd-wait-online.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "getty@.service",
    "console-getty.service",
    "serial-getty@.service",
    "ifupdown-wait-online.service",
    "networking.service",
    "nftables.service",
    "ssh.service",
    "ssh.socket",
)
# After reboot(2) in a PID namespace its init seems killed by a signal; unshare ends in the same way.
_POWERED_OFF = -signal.SIGINT
_REBOOTED = -signal.SIGHUP
_CGROUPS = "worker-bakery."
CONSOLE = "console"  # in the machine's work folder

# $1 cgroup, $2 root, $3 terminal, $4 hostname, $5… arguments of systemd.
_CREATE_NAMESPACES = r"""
set -eu
echo $$ >"$1/cgroup.procs"
exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child --propagation private \
    bash -c "$SET_UP" machine "$@"
"""
# /proc/sys and /sys are read-only, because they belong to the host's kernel.
_SET_UP = r"""
set -eu
root=$2; terminal=$3; name=$4; masked=$MASKED; shift 4
ip link set lo up
sh -euc "$CONNECT_NETWORK"
mount --rbind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 none "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
touch "$root/dev/console"
mount --bind "$terminal" "$root/dev/console"
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
# As udev and systemd-resolved, which are masked, would create them; apptainer requires both.
mknod -m 666 "$root/dev/fuse" c 10 229 || echo "no /dev/fuse: containers from image files cannot run" >&2
mkdir -p "$root/run/systemd/resolve"
: >"$root/run/systemd/resolve/stub-resolv.conf"
ln -s /proc/self/fd "$root/dev/fd"
for number in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${number%:*}" "$root/dev/${number#*:}"
done
mkdir -p "$root/run/systemd/system"
for unit in $masked; do ln -s /dev/null "$root/run/systemd/system/$unit"; done
hostname "$name"
cd "$root"
mkdir run/outside
pivot_root . run/outside
umount -l /run/outside
rmdir /run/outside
exec env -i container=worker-bakery PATH=/usr/sbin:/usr/bin TERM=dumb \
    /lib/systemd/systemd "$@" <>/dev/console >&0 2>&1
"""


@dataclass(frozen=True)
class NamespaceMachine(Machine):
    """A started namespace machine; `boot` starts it, and ends it after its block."""

    power_off_status = _POWERED_OFF
    status_meanings: ClassVar = {_REBOOTED: "rebooted"}
    interval = 0.1

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        expect: Sequence[int] = (0,),
        seconds: float = 60,
    ) -> Completed:
        return call(nsenter_argv(self.init_pid(), argv), stdin=stdin, expect=expect, seconds=seconds)

    def init_pid(self) -> int:
        """Return the PID, in our PID namespace, of the machine's systemd.

        Raises NotProven: systemd has not been started yet, or the machine has ended.
        """
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with suppress(OSError):
            for child in children.read_text().split():
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
        raise NotProven("The machine does not run.", self._console_tail())


def nsenter_argv(init_pid: int, argv: Sequence[str]) -> list[str]:
    """Return the command line that runs `argv` as root in the machine whose PID 1 is `init_pid`."""
    namespaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
    # --root: the root of the process, which differs from its mount namespace's when we run in a chroot.
    target = (f"--target={init_pid}", "--root", "--wd")
    return ["nsenter", *target, *namespaces, "--", *ENVIRONMENT, *argv]


@contextmanager
def boot(
    root: Path,
    *,
    console: Path,
    hostname: str = "worker",
    network: Network | None = None,
    masked: Sequence[str] = MASKED,
    arguments: Sequence[str] = (),
) -> Iterator[NamespaceMachine]:
    """Boot the root directory `root`, which is written to; write the console log to the file `console`.

    The machine has a loopback interface, and one on `network`, if given. `arguments` stand for the kernel
    command line: systemd and cloud-init read PID 1's arguments in a container. Raises MissingHere: not
    root, or a tool or cgroup2 is missing; BadInput: the root has no systemd.
    """
    _check(root)
    with _cgroup() as cgroup, _terminal(console) as terminal:
        script = ("bash", "-c", _CREATE_NAMESPACES, "machine", cgroup, root, terminal, hostname)
        variables = {
            "SET_UP": _SET_UP,
            "MASKED": " ".join(masked),
            "CONNECT_NETWORK": network.veth_commands() if network else "",
        }
        # /etc/hostname would otherwise replace the name that the script sets.
        argv = [*map(str, script), f"systemd.hostname={hostname}", *arguments]
        with background(argv, log=console, env={**os.environ, **variables}) as process:
            yield NamespaceMachine(console, process)


def _check(root: Path) -> None:
    require("unshare", "nsenter", "ip", "pivot_root", "setpriv")
    if os.geteuid() != 0:
        raise MissingHere(
            "A namespace machine requires root.", "Run the command with sudo, or use a virtual machine."
        )
    if not (root / "lib/systemd/systemd").exists():
        raise BadInput(f"{root} is not the root directory of a system with systemd.")


@contextmanager
def _terminal(console: Path) -> Iterator[str]:
    """Yield the name of a new terminal; append its output to the file `console`."""
    master, terminal = os.openpty()
    writer = threading.Thread(target=_copy, args=(master, console), daemon=True)
    try:
        os.close(os.open(console, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        writer.start()
        yield os.ttyname(terminal)
    finally:
        # Nobody has the terminal open any more, so `_copy` reads the end.
        os.close(terminal)
        if writer.ident is not None:
            writer.join()
        os.close(master)


def _copy(terminal: int, console: Path) -> None:
    # A read fails whenever nobody has the other side open, so `_terminal` keeps it open.
    with suppress(OSError), console.open("ab", buffering=0) as file:
        while chunk := os.read(terminal, 65536):
            file.write(chunk)


@contextmanager
def _cgroup() -> Iterator[Path]:
    """Create a control group for the machine; remove those that killed processes left first."""
    parent = _cgroup2()
    for group in parent.glob(f"{_CGROUPS}*"):
        with suppress(FileNotFoundError):  # another process may remove it, too
            if _is_leftover(group):
                _remove_cgroup(group)
    own = Path(tempfile.mkdtemp(prefix=_CGROUPS, dir=parent))
    try:
        yield own
    finally:
        _remove_cgroup(own)


def _is_leftover(group: Path) -> bool:
    """Return whether a group has no process, and is too old to belong to a machine that is starting."""
    old = time.time() - group.stat().st_mtime > 60
    return old and "populated 0" in (group / "cgroup.events").read_text().splitlines()


def _cgroup2() -> Path:
    """Return where version 2 is mounted: alone, or beside version 1. Raises MissingHere: nowhere."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount_point, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(mount_point)
    raise MissingHere(
        "No cgroup2 file system is mounted.", "Mount one for a namespace machine, or use a virtual machine."
    )


def _remove_cgroup(group: Path) -> None:
    """Remove a group and its subgroups; the kernel releases an ended process a moment later."""
    for _ in range(50):
        with suppress(FileNotFoundError):
            for folder, _, _ in os.walk(group, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()
        if not group.exists():
            return
        time.sleep(0.1)
