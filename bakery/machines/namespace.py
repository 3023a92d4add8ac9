"""A namespace machine: a root directory with systemd as PID 1, in namespaces of its own.

It is up in a second and needs root, but no kernel and no disk of its own. It shows a worker's
life: units, user-data, HTCondor, power-off. What it cannot show are the boot loader, the
kernel, the disk and the network card; a VM does.

Nothing outside the root directory is written, and what the machine keeps only while it runs
(/run, /tmp, /dev) is in memory. Its end, however it comes, ends every process of it.
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

# What a namespace lacks the hardware, or a login the reason, for; masked in memory only.
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
# The kernel lets reboot(2) in a PID namespace look like a signal's doing; unshare follows suit.
_POWERED_OFF = -signal.SIGINT
_REBOOTED = -signal.SIGHUP
_CGROUPS = "worker-bakery."
CONSOLE = "console"  # in the machine's work folder

# $1 cgroup, $2 root, $3 terminal, $4 hostname, $5… for systemd.
_OUTSIDE = r"""
set -eu
echo $$ >"$1/cgroup.procs"
exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child --propagation private \
    bash -c "$INSIDE" machine "$@"
"""
# The kernel is the host's: its settings (/proc/sys, /sys) can be read, not changed.
_INSIDE = r"""
set -eu
root=$2; terminal=$3; name=$4; masked=$MASKED; shift 4
ip link set lo up
sh -euc "$LAY_CABLE"
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
# As udev and the machine's own resolver, which are not here, would have them; apptainer asks for both.
mknod -m 666 "$root/dev/fuse" c 10 229 || echo "no /dev/fuse: containers of files do not run" >&2
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
    """A machine that was started; `boot` makes one, and ends it with its block."""

    powered_off = _POWERED_OFF
    other_ends: ClassVar = {_REBOOTED: "rebooted"}
    pause = 0.1

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        expect: Sequence[int] = (0,),
        seconds: float = 60,
    ) -> Completed:
        return call(inside(self.first(), argv), stdin=stdin, expect=expect, seconds=seconds)

    def first(self) -> int:
        """The machine's PID 1 as we see it, once it is systemd and no longer our script.

        Raises NotProven before, and when the machine is off.
        """
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with suppress(OSError):
            for child in children.read_text().split():
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    return int(child)
        raise NotProven("The machine is not on.", self._last_words())


def inside(first: int, argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` in the machine whose PID 1 is `first`, as root."""
    spaces = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
    # --root: the machine's own, which is not its mount namespace's where we are in a chroot.
    where = (f"--target={first}", "--root", "--wd")
    return ["nsenter", *where, *spaces, "--", *ENVIRONMENT, *argv]


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
    """Boot `root`, which is written to; its console goes to the file `console` as it comes.

    It is on a cable to `network`, if that is given, and on a loopback of its own. `arguments` are
    the machine's kernel command line, as systemd and cloud-init understand one in a container.
    """
    _check(root)
    with _cgroup() as cgroup, _terminal(console) as terminal:
        script = ("bash", "-c", _OUTSIDE, "machine", cgroup, root, terminal, hostname)
        own = {
            "INSIDE": _INSIDE,
            "MASKED": " ".join(masked),
            "LAY_CABLE": network.cable() if network else "",
        }
        # A name in /etc/hostname would win over the one that the script sets.
        argv = [*map(str, script), f"systemd.hostname={hostname}", *arguments]
        with background(argv, log=console, env={**os.environ, **own}) as process:
            yield NamespaceMachine(console, process)


def _check(root: Path) -> None:
    require("unshare", "nsenter", "ip", "pivot_root", "setpriv")
    if os.geteuid() != 0:
        raise MissingHere("A namespace machine needs root.", "Run it with sudo, or use a VM.")
    if not (root / "lib/systemd/systemd").exists():
        raise BadInput(f"{root} is no root directory of a machine with systemd.")


@contextmanager
def _terminal(console: Path) -> Iterator[str]:
    """The name of a terminal; whatever is written to it is appended to the file."""
    ours, theirs = os.openpty()
    writer = threading.Thread(target=_copy, args=(ours, console), daemon=True)
    try:
        os.close(os.open(console, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        writer.start()
        yield os.ttyname(theirs)
    finally:
        # The last one who has the terminal open goes, and the copying meets its end.
        os.close(theirs)
        if writer.ident is not None:
            writer.join()
        os.close(ours)


def _copy(terminal: int, console: Path) -> None:
    # Looks like its end whenever nobody but us has the other side open, so we hold that too.
    with suppress(OSError), console.open("ab", buffering=0) as file:
        while chunk := os.read(terminal, 65536):
            file.write(chunk)


@contextmanager
def _cgroup() -> Iterator[Path]:
    """A control group for the machine; those that killed runs left are swept out first."""
    above = _cgroup2()
    for left in above.glob(f"{_CGROUPS}*"):
        with suppress(FileNotFoundError):  # another run may sweep as well
            if _is_left(left):
                _remove_cgroup(left)
    mine = Path(tempfile.mkdtemp(prefix=_CGROUPS, dir=above))
    try:
        yield mine
    finally:
        _remove_cgroup(mine)


def _is_left(group: Path) -> bool:
    """Without a process, and not because its machine is about to start."""
    old = time.time() - group.stat().st_mtime > 60
    return old and "populated 0" in (group / "cgroup.events").read_text().splitlines()


def _cgroup2() -> Path:
    """Where version 2 is mounted: alone, or beside version 1."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise MissingHere("No cgroup2 is mounted here.", "A namespace machine needs one; or use a VM.")


def _remove_cgroup(group: Path) -> None:
    """Remove it and all within. The kernel lets go of a dead process a moment after its end."""
    for _ in range(50):
        with suppress(FileNotFoundError):
            for folder, _, _ in os.walk(group, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()
        if not group.exists():
            return
        time.sleep(0.1)
