"""Repeat the verification of images, and count wrong results.

    scripts/soak [N] [--machine namespace|vm] [--worker osg|prominence] [--level LEVEL] [--speed NAME]
                 [--broken N]

Each kind of worker is verified N times (default: 20) at three speeds of the machine: alone, beside two
busy loops, and with half a CPU. A good image must pass each time. --broken N: each broken image of
tests/broken.py must fail N times with the right message. Requires root. The exit status is 1 if a result
was wrong; the output of that verification is kept in a folder whose path is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from provisioner.process.run import background
from tests import broken
from tests.conftest import BIN

SPEEDS = ("alone", "two loops", "half a CPU")
KINDS = ("osg", "prominence")
_PERIOD = 100_000  # microseconds of the CPU quota


@dataclass(frozen=True)
class Proof:
    good: bool
    seconds: float
    steps: tuple[tuple[str, float], ...]  # check, seconds
    output: str


def main() -> int:
    options = _parser().parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    print(f"{os.cpu_count()} cores; output of wrong results is kept in {folder}", flush=True)
    wrong = 0
    for kind in [options.worker] if options.worker else KINDS:
        image = _image(kind)
        for speed in options.speed or SPEEDS:
            wrong += _row(kind, speed, image, options, folder)
    for defect in broken.DEFECTS if options.broken else ():
        wrong += _broken_row(defect, _image("osg"), options, folder)
    print(f"{wrong} wrong", flush=True)
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("proofs", nargs="?", type=int, default=20, metavar="N")
    parser.add_argument("--machine", choices=["namespace", "vm"], default="namespace")
    parser.add_argument("--worker", choices=KINDS)
    parser.add_argument("--level", choices=["pool", "clone"], default="pool")
    parser.add_argument("--speed", choices=SPEEDS, action="append")
    parser.add_argument("--broken", type=int, default=0, metavar="N")
    return parser


def _image(kind: str) -> Path:
    argv = [str(BIN / "bake-image"), "--worker", kind, "--verify", "offline", "--json"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, check=True, stderr=subprocess.DEVNULL)
    return Path(json.loads(done.stdout)["path"])


def _row(kind: str, speed: str, image: Path, options: argparse.Namespace, folder: Path) -> int:
    """Verify N times at this speed, print a line of the table, and return the number of failures."""
    proofs: list[Proof] = []
    with at_speed(speed) as prefix:
        for number in range(options.proofs):
            proofs.append(prove(image, options, prefix))
            if not proofs[-1].good:
                (folder / f"{kind}-{speed}-{number}.log".replace(" ", "-")).write_text(proofs[-1].output)
                print(f"  {kind}, {speed}, {number}: failed", flush=True)
    _show(f"{kind}, {speed}", proofs)
    return sum(not proof.good for proof in proofs)


def _broken_row(defect: str, image: Path, options: argparse.Namespace, folder: Path) -> int:
    proofs = []
    with tempfile.TemporaryDirectory() as name, broken.broken(image, defect, Path(name)) as bad:
        for number in range(options.broken):
            proofs.append(prove(bad, options, ()))
            if proofs[-1].good or broken.DEFECTS[defect].message not in proofs[-1].output:
                (folder / f"broken-{defect}-{number}.log".replace(" ", "-")).write_text(proofs[-1].output)
    seen = sum(broken.DEFECTS[defect].message in proof.output and not proof.good for proof in proofs)
    print(f"broken, {defect}: failed with the right message {seen} of {len(proofs)} times", flush=True)
    return len(proofs) - seen


def _show(name: str, proofs: Sequence[Proof]) -> None:
    good = [proof for proof in proofs if proof.good]
    steps = zip(*([seconds for _, seconds in proof.steps] for proof in good), strict=True)
    shown = " ".join(f"{median(one):.1f}/{max(one):.1f}" for one in steps)
    whole = f"{median(proof.seconds for proof in good):.1f}" if good else "-"
    print(f"{name:<24} {len(good)} of {len(proofs)} passed; {whole} s each; steps, median/most: {shown}",
          flush=True)  # fmt: skip


def prove(image: Path, options: argparse.Namespace, prefix: Sequence[str]) -> Proof:
    how = ("--machine", options.machine, "--level", options.level, "--json")
    argv = [*prefix, str(BIN / "worker-bakery"), "verify", str(image), *how]
    begun = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begun
    if done.returncode != 0:
        return Proof(False, seconds, (), done.stderr)
    levels = json.loads(done.stdout)["proof"].values()
    steps = tuple((check["what"], check["seconds"]) for level in levels for check in level["checks"])
    return Proof(True, seconds, steps, "")


@contextmanager
def at_speed(speed: str) -> Iterator[tuple[str, ...]]:
    """Yield the prefix of a command that must run at this speed."""
    if speed == "two loops":
        loop = ["sh", "-c", "while :; do :; done"]
        with background(loop, log=Path(os.devnull)), background(loop, log=Path(os.devnull)):
            yield ()
    elif speed == "half a CPU":
        with _quota(0.5) as prefix:
            yield prefix
    else:
        yield ()


@contextmanager
def _quota(cpus: float) -> Iterator[tuple[str, ...]]:
    """Create a control group of version 1: the groups of machines, of version 2, stay inside it."""
    parent = Path("/sys/fs/cgroup/cpu")
    if not parent.is_dir():
        sys.exit('soak: "half a CPU" requires control groups of version 1 (/sys/fs/cgroup/cpu)')
    group = Path(tempfile.mkdtemp(prefix="worker-bakery-soak.", dir=parent))
    try:
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD))
        (group / "cpu.cfs_quota_us").write_text(str(int(cpus * _PERIOD)))
        yield ("sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', str(group))
    finally:
        _remove(group)


def _remove(group: Path) -> None:
    """Remove a group; the kernel releases an ended process a moment later."""
    for _ in range(600):
        try:
            group.rmdir()
        except OSError:
            time.sleep(0.1)
        else:
            return
    print(f"soak: {group} is still in use", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
