"""How long four images of two definitions take at once, beside one after the other, in the same run.

    scripts/bench batch [--verify LEVEL] [--jobs N] [--rounds N]

The images are osg and prominence workers on the default base, each with and without the role udocker. All
ways begin with the base and its packages in a cache of their own, without checkpoints. One after the other
means four commands with one cache, which resume from the checkpoints of the commands before them. A bake of
each image before the first round downloads the packages. Needs root; makes the base first if the cache has
none.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bakery.runtime import data
from tests.bench import cached_base
from tests.bench.cached_base import store_with_base

IMAGES = {
    "osg": "",
    "osg-udocker": "--with udocker",
    "prominence": "--worker prominence",
    "prominence-udocker": "--worker prominence --with udocker",
}
GOAL = 0.6


@dataclass(frozen=True)
class Took:
    """`cpu` are the seconds of all processors, which hardly grow when others are at work."""

    seconds: float
    cpu: float


def main() -> None:
    options = _options()
    cached_base.provide()
    with TemporaryDirectory(prefix="bench-batch-", dir=os.environ.get("TMPDIR")) as name:
        compare(options, downloaded(Path(name)))


def compare(options: argparse.Namespace, packages: Path) -> None:
    work: dict[str, Callable[[Path], None]] = {
        "one after the other": lambda root: one_after_the_other(root, options.verify),
        f"--jobs {options.jobs}": lambda root: at_once(root, options.verify, options.jobs),
    }
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {options.rounds} rounds", flush=True)
    took: dict[str, list[Took]] = {name: [] for name in work}
    for number in range(options.rounds):
        for name in (*work,) if number % 2 == 0 else reversed((*work,)):
            took[name].append(timed(work[name], packages))
            last = took[name][-1]
            figures = f"{last.seconds:6.1f} s, of CPU {last.cpu:6.1f} s"
            print(f"{name:<20} {figures}, load {os.getloadavg()[0]:.1f}", flush=True)
    _print_ratio(*took.values())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench batch", description=__doc__.splitlines()[0])
    levels = ("none", "offline", "boot", "pool")
    parser.add_argument("--verify", choices=levels, default="offline", help="(%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="(%(default)s)")
    return parser.parse_args()


def _print_ratio(sequence: Sequence[Took], together: Sequence[Took]) -> None:
    ratio = statistics.median(one.seconds for one in together) / statistics.median(
        one.seconds for one in sequence
    )
    of_cpu = min(one.cpu for one in together) / min(one.cpu for one in sequence)
    print(f"at once / one after the other: {ratio:.2f} (of CPU: {of_cpu:.2f}); the goal is {GOAL}")


def downloaded(folder: Path) -> Path:
    """The folder of a cache that has all packages of the images."""
    root = store_with_base(folder / "cache").root
    one_after_the_other(root, "none")
    shutil.move(root / "packages", folder / "packages")
    shutil.rmtree(root)
    return folder / "packages"


def timed(work: Callable[[Path], None], packages: Path) -> Took:
    """Of work in a new cache with these packages; what it does before `started` is read does not count."""
    with TemporaryDirectory(prefix="bench-batch-", dir=os.environ.get("TMPDIR")) as name:
        root = Path(name) / "cache"
        store_with_base(root)
        shutil.copytree(packages, root / "packages")
        os.sync()  # what others have left to write
        started, before = time.perf_counter(), cpu()
        work(root)
        return Took(time.perf_counter() - started, cpu() - before)


def cpu() -> float:
    """Of all programs that were started here, and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def one_after_the_other(root: Path, level: str) -> None:
    program = str(Path(sys.executable).parent / "bake-image")
    for words in IMAGES.values():
        run([program, "--engine", "chroot", "--verify", level, *words.split()], root)


def at_once(root: Path, level: str, jobs: int) -> None:
    program = str(Path(sys.executable).parent / "worker-bakery")
    command = [program, "bake", "--engine", "chroot", "--verify", level, "--jobs", str(jobs)]
    with TemporaryDirectory() as folder:
        run([*command, *(definition(Path(folder), label) for label in IMAGES)], root)


def definition(folder: Path, label: str) -> str:
    """The path of a definition file for this image."""
    words = IMAGES[label].split()
    keys = [f'worker = "{"prominence" if "prominence" in words else "osg"}"']
    path = folder / f"{label}.toml"
    path.write_text("\n".join([*keys, *(["[roles.udocker]"] if "udocker" in words else []), ""]))
    return str(path)


def run(argv: Sequence[str], root: Path) -> None:
    env: Mapping[str, str] = {**os.environ, "WORKER_BAKERY_CACHE": str(root)}
    done = subprocess.run(argv, env=env, cwd=data.ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{argv[0]} ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")


if __name__ == "__main__":
    main()
