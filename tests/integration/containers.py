"""A container of an image without Docker: its options, and what stands for them here.

`docker run` of an image is its root directory under a writable layer, with the volumes mounted, in PID
and mount namespaces of its own, with the capabilities that Docker leaves a container. The network is the
host's (`--net=host`), and that of a test's pool is the host here; a container with a host name of its own
is on a host of its own, at the end of a cable to that network.
"""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import string
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from bakery.machines.layer import layer
from bakery.machines.network import Network
from bakery.runtime.conditions import Condition, wait
from provisioner.errors import NotProven
from provisioner.process import run

# What a container may without --privileged. (Moby's profile, oci/caps/defaults.go.)
_DEFAULT = (
    *("chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"),
    *("net_bind_service", "net_raw", "sys_chroot", "mknod", "audit_write", "setfcap"),
)
_KEPT = ",".join(f"+{name}" for name in _DEFAULT)
LIMITED = ("setpriv", f"--bounding-set=-all,{_KEPT}", "--inh-caps=-all")
_START = r"""
set -eu
root=$1; shift
if [ -n "$HOST" ]; then hostname "$HOST"; ip link set lo up; fi
sh -euc "$CONNECT_NETWORK"
for group in $GROUPS_OF_IT; do echo 0 >"$group/cgroup.procs"; done
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t tmpfs -o mode=0755,nosuid tmpfs "$root/sys/fs/cgroup"
for group in $GROUPS_OF_IT; do
    own=$root/sys/fs/cgroup/$(basename "$(dirname "$group")")
    mkdir "$own"; mount --bind "$group" "$own"; mount -o remount,bind,ro "$own"
done
mount -t tmpfs -o mode=0755,nosuid tmpfs "$root/dev"
for name in null zero full random urandom tty; do
    touch "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/shm"; mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mkdir "$root/dev/pts"; mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for number in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${number%:*}" "$root/dev/${number#*:}"
done
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$root${2%/*}"; touch "$root$2"; fi
    mount --bind "$1" "$root$2"
    shift 2
done
shift
# Not chroot, in which no user namespaces can be made.
cd "$root"
mkdir -p run/outside
pivot_root . run/outside
umount -l /run/outside
rmdir /run/outside
exec "$@"
"""


@dataclass(frozen=True)
class DockerRun:
    """The options of a `docker run`; volumes are pairs of here and there."""

    env: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[tuple[Path, str], ...] = ()
    privileged: bool = False
    hostname: str = ""  # "": the host's, and its network
    groups: tuple[Path, ...] = ()  # control groups that it is in, and sees

    def told(self, **env: str) -> DockerRun:
        return replace(self, env={**self.env, **env})

    def with_volume(self, here: Path, there: str) -> DockerRun:
        """In the place of what was mounted there, or below it."""
        kept = [volume for volume in self.volumes if not f"{volume[1]}/".startswith(f"{there}/")]
        return replace(self, volumes=(*kept, (here, there)))


def parse(text: str, variables: Mapping[str, str], root: Path) -> DockerRun:
    """Of a command line; folders of the host are in `root`. Variables that are not given are empty."""
    found = string.Template.pattern.finditer(text)
    names = {match.group("named") or match.group("braced") for match in found}
    filled = string.Template(text).safe_substitute({name: variables.get(name, "") for name in names})
    words = shlex.split(filled.replace("\\\n", " "))
    pairs = list(itertools.pairwise(words))
    volumes = [value.split(":") for option, value in pairs if option == "-v"]
    return DockerRun(
        dict(value.split("=", 1) for option, value in pairs if option == "-e"),
        tuple((root / here[1:], there) for here, there in volumes),
        "--privileged=true" in words,
    )


@dataclass(frozen=True)
class Container:
    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")

    def first(self) -> int:
        """Its PID 1, as it is seen here."""
        pid = self.process.pid
        while found := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            pid = int(found[0])
            if "NSpid" in (status := Path(f"/proc/{pid}/status").read_text()):
                numbers = next(row for row in status.splitlines() if row.startswith("NSpid")).split()[1:]
                if numbers[-1] == "1" and len(numbers) > 1:
                    return pid
        raise NotProven("The container has no first process.")

    def kill(self, number: signal.Signals) -> None:
        os.kill(self.first(), number)

    def wait(self, seconds: float) -> int:
        """Its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise NotProven(f"The container did not end within {seconds} s.\n{self.said()}") from None

    def exec(self, argv: Sequence[str], expect: Sequence[int] = (0,)) -> run.Completed:
        """`docker exec`."""
        inside = [
            "nsenter",
            f"--target={self.first()}",
            "--mount",
            "--pid",
            "--net",
            "--uts",
            "--root",
            "--wd",
            "--",
        ]
        return run.call([*inside, *argv], expect=expect, seconds=60)

    def wait_until(self, what: str, seen: Callable[[], bool], seconds: float) -> None:
        try:
            wait(Condition(what, seen, seconds), end_reason=self._over)
        except NotProven as error:
            raise NotProven(f"{error.message}\n{self.said()}") from None

    def _over(self) -> str:
        return "" if self.process.poll() is None else "The container ended."


@contextmanager
def started(
    root: Path, entry: Sequence[str], options: DockerRun, work: Path, network: Network
) -> Iterator[Container]:
    """A container of the image with this root directory and entry point, while the block runs."""
    work.mkdir()
    with layer(root, work) as own:
        volumes = [str(part) for volume in options.volumes for part in volume]
        env = [f"{name}={value}" for name, value in options.env.items()]
        inside = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *env, *entry]
        limited = () if options.privileged else LIMITED
        script = ["sh", "-c", _START, "container", str(own), *volumes, "--", *limited, *inside]
        room = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private"]
        apart = ("--net", "--uts") if options.hostname else ()
        argv = [*room, *apart, *script]
        own_env = run.environment(
            HOST=options.hostname,
            CONNECT_NETWORK=network.veth_commands() if options.hostname else "",
            GROUPS_OF_IT=" ".join(map(str, options.groups)),
        )
        log = work / "log"
        where = argv if options.hostname else network.argv(argv)
        with run.background(where, log=log, env=own_env) as process:
            yield Container(process, log)


@contextmanager
def limited(cpus: float, memory: int) -> Iterator[tuple[Path, ...]]:
    """Control groups as `docker run --cpus --memory` makes them where version 1 has both; bytes."""
    limits = {
        "cpu": {"cpu.cfs_period_us": 100_000, "cpu.cfs_quota_us": int(cpus * 100_000)},
        "memory": {"memory.limit_in_bytes": memory},
    }
    with ExitStack() as stack:
        yield tuple(
            stack.enter_context(_group(Path("/sys/fs/cgroup") / controller, files))
            for controller, files in limits.items()
        )


@contextmanager
def _group(above: Path, files: Mapping[str, int]) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="worker-bakery.", dir=above))
    try:
        for name, value in files.items():
            (made / name).write_text(str(value))
        yield made
    finally:
        _removed(made)


def _removed(group: Path) -> None:
    """The kernel lets go of a dead process a moment after its end."""
    for _ in range(100):
        with suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.1)
    group.rmdir()
