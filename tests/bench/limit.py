"""How near a cold bake comes to what it cannot do without, one after the other on the same machine.

    scripts/bench limit [--rounds N]

The limit is a shell script: the base as a raw disk, its ext4 mounted, the plan's own apt commands in a
chroot, the free space given back, the disk as a zstd qcow2. No plan, no checkpoint, no digest, no proof.
It is run as anybody would write it, and with nothing flushed to this machine's disk. Both begin with an
empty package cache. Needs root; makes the base first if the cache has none.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bakery.image import recipe
from bakery.image.mkosi import Build
from bakery.runtime.mirror import find as find_mirror
from bakery.store.store import Store
from provisioner.actions import Run
from provisioner.disk.file_systems import partitions, root_candidates
from tests.bench import cached_base
from tests.bench.cached_base import BASE, store_with_base

# $1 base, $2 folder, $3 and $4 start and size of the root, $5 options of mount, $6 of dpkg; apt's
# commands, a line each, on standard input.
_LIMIT = r"""
set -eu
cd "$2"
qemu-img convert -O raw "$1" disk.raw
mkdir root
mount -t ext4 -o "loop,offset=$3,sizelimit=$4$5" disk.raw root
mount -t proc proc root/proc
mount -t tmpfs tmpfs root/run
mount -t tmpfs tmpfs root/dev
mknod -m 666 root/dev/null c 1 3
mknod -m 666 root/dev/urandom c 1 9
mkdir -p root/run/systemd/resolve root/run/apt/sources
mkdir -p root/run/apt/lists/partial root/run/apt/archives/partial
cat /etc/resolv.conf >root/run/systemd/resolve/stub-resolv.conf
cp sources root/run/apt/sources/limit.sources
printf '%s\n' 'Dir::Etc::SourceList "/dev/null";' 'Dir::Etc::SourceParts "/run/apt/sources";' \
    'Dir::State::Lists "/run/apt/lists";' 'Dir::Cache::Archives "/run/apt/archives";' \
    'APT::Sandbox::User "root";' "$6" >root/run/apt/conf
printf '#!/bin/sh\nexit 101\n' >root/usr/sbin/policy-rc.d
chmod 755 root/usr/sbin/policy-rc.d
while read -r command; do
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin APT_CONFIG=/run/apt/conf DEBIAN_FRONTEND=noninteractive \
        chroot root sh -c "$command" </dev/null >>log 2>&1
done
rm root/usr/sbin/policy-rc.d root/var/cache/apt/*.bin
umount root/dev root/run root/proc
sync --file-system root
fstrim root
umount root
qemu-img convert -f raw -O qcow2 -c -m 4 -o compression_type=zstd disk.raw image.qcow2
"""
PLAIN, UNFLUSHED = ("", ""), (",barrier=0", 'DPkg::Options:: "--force-unsafe-io";')


@dataclass(frozen=True)
class Took:
    """`cpu` are the seconds of all processors, which hardly grow when others are at work."""

    seconds: float
    cpu: float
    mib: float  # of the image


def main() -> None:
    rounds = _options().rounds
    cached_base.provide()
    work: dict[str, Callable[[Path], Path]] = {
        "packages into a chroot, ext4, zstd": lambda folder: limit(folder, *PLAIN),
        "the same, nothing flushed": lambda folder: limit(folder, *UNFLUSHED),
        "bake-image, chroot, cold": baked,
    }
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {rounds} rounds", flush=True)
    took: dict[str, list[Took]] = {name: [] for name in work}
    for number in range(rounds):
        # Another one begins each time: whoever comes second finds more in memory.
        names = [*work][number % len(work) :] + [*work][: number % len(work)]
        for name in names:
            took[name].append(timed(work[name]))
            last = took[name][-1]
            figures = f"{last.seconds:6.1f} s, of CPU {last.cpu:5.1f} s, {last.mib:5.0f} MiB"
            print(f"{name:<36} {figures}, load {os.getloadavg()[0]:.1f}", flush=True)
    _print_ratios(took)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench limit", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="(%(default)s)")
    return parser.parse_args()


def _print_ratios(took: Mapping[str, Sequence[Took]]) -> None:
    """Of the last one to each of the others, by the medians and by the best."""
    *limits, ours = took
    for name in limits:
        mine, theirs = ([row.seconds for row in took[one]] for one in (ours, name))
        of_cpu = min(row.cpu for row in took[ours]) / min(row.cpu for row in took[name])
        of_medians, of_best = (f(mine) / f(theirs) for f in (statistics.median, min))
        print(f"{ours} / {name}: {of_medians:.2f} (best: {of_best:.2f}, of CPU: {of_cpu:.2f})")


def timed(work: Callable[[Path], Path]) -> Took:
    """Of work that leaves an image in the folder; what it does before `started` is read does not count."""
    with TemporaryDirectory(prefix="bench-limit-", dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        store_with_base(folder / "cache")
        os.sync()  # what others have left to write
        started, before = time.perf_counter(), cpu()
        image = work(folder)
        return Took(time.perf_counter() - started, cpu() - before, image.stat().st_size / 2**20)


def cpu() -> float:
    """Of all programs that were started here, and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def baked(folder: Path) -> Path:
    cache = str(folder / "cache")
    argv = [str(Path(sys.executable).parent / "bake-image"), "--verify", "none", "--engine", "chroot"]
    done = run(argv, env={**os.environ, "WORKER_BAKERY_CACHE": cache})
    return Path(done.strip())


def limit(folder: Path, mount: str, dpkg: str) -> Path:
    assert isinstance(BASE.source, Build)
    base = Store(folder / "cache").base(BASE.id)
    (folder / "sources").write_text(find_mirror().sources(BASE.source.release))
    start, size = root_of(base, folder)
    argv = ["sh", "-c", _LIMIT, "limit", str(base), str(folder), str(start), str(size), mount, dpkg]
    run(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", *argv], stdin="\n".join(commands()) + "\n"
    )
    return folder / "image.qcow2"


def root_of(base: Path, folder: Path) -> tuple[int, int]:
    """Where the root begins on the disk, and how large it is, in bytes."""
    table = folder / "table.raw"
    run(["qemu-img", "convert", "-O", "raw", str(base), str(table)])
    [root, *_] = root_candidates(partitions(table))
    table.unlink()
    return root.start, root.size


def commands() -> list[str]:
    """The plan's own that install, as a shell reads them."""
    return [
        " ".join(action.argv)
        for step in recipe.plan(BASE, "osg").steps
        for action in step.actions
        if isinstance(action, Run) and "apt-get" in action.argv
    ]


def run(argv: Sequence[str], env: Mapping[str, str] | None = None, stdin: str = "") -> str:
    done = subprocess.run(argv, env=env, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{argv[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
