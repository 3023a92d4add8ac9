"""What people wait for before anything is done: whole commands, from their start to their end.

    scripts/bench commands [--rounds N] [--cloud-init COMMAND]

The commands take turns, so that a machine that is busy is so for all of them. The image of the store is a
stand-in, as nobody reads it: its path is looked up. gen-userdata is compared with cloud-init's check of
the cloud-config that it makes (COMMAND, if it is not installed here: an unpacked one).
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bakery.bake.options import Options, make_plan
from bakery.store.store import Store, commit
from provisioner import plan as plans
from tests.bench import userdata
from tests.bench.userdata import Took

BIN = Path(sys.executable).parent
# What each may take: seconds, or a share of what stands behind it. (issue 11, point 8)
_GENERATE, _SCHEMA = "gen-userdata", "cloud-init schema"
LIMITS = {"bake-image, unchanged": 0.2, "bake-image --dry-run": 0.12}
SHARE = 0.45  # of cloud-init schema


def main() -> None:
    given = _options()
    with TemporaryDirectory(prefix="bench-commands-") as name:
        folder = Path(name)
        commands = commands_in(folder, given.cloud_init)
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
        took: dict[str, list[Took]] = {title: [] for title in commands}
        for number in range(given.rounds + 1):
            for title, argv in commands.items():
                run = userdata.run(argv, store_in(folder).root)
                if number:  # the first leaves Python's bytecode behind
                    took[title].append(run)
        show(took)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench commands", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="(%(default)s)")
    found = shutil.which("cloud-init") or ""
    parser.add_argument("--cloud-init", default=found, metavar="COMMAND", help="(%(default)s)")
    return parser.parse_args()


def commands_in(folder: Path, cloud_init: str) -> dict[str, list[str]]:
    bake, made = str(BIN / "bake-image"), folder / "user-data"
    generate = [userdata.GENERATE, "--token-file", str(userdata.token_in(folder)), "--project", "TG-ABC123"]
    put_image(store_in(folder), folder)
    commands = {
        "python, nothing imported": [sys.executable, "-c", "pass"],
        "worker-bakery --help": [str(BIN / "worker-bakery"), "--help"],
        "bake-image --help": [bake, "--help"],
        "bake-image --dry-run": [bake, "--dry-run"],
        "bake-image, unchanged": [bake, "--verify", "offline", "--refresh", "never"],
        "gen-userdata --help": [userdata.GENERATE, "--help"],
        _GENERATE: generate,
    }
    if cloud_init:
        userdata.run([*generate, "--format", "cloud-config", "-q", "-o", str(made)])
        commands[_SCHEMA] = [*shlex.split(cloud_init), "schema", "-c", str(made)]
    else:
        print("cloud-init is not installed here: nothing to compare with")
    return commands


def store_in(folder: Path) -> Store:
    return Store(folder / "cache")


def put_image(store: Store, folder: Path) -> None:
    """The default image, as far as a look-up goes."""
    _, plan = make_plan(Options())
    (folder / "image").write_bytes(b"an image")
    checks = [{"what": "image tests on the mounted root: 99 passed", "seconds": 4.7}]
    known = {"id": plan.id, "base": plan.base, "kind": plan.kind, "size": 8, "plan": plans.to_json(plan)}
    proof = {"offline": {"checks": checks}}
    commit(folder / "image", store.image(plan), {**known, "proof": proof, "sha256": "", "made": ""})


def show(took: Mapping[str, Sequence[Took]]) -> None:
    """Of the processors, too: that hardly grows when others are at work."""
    print(f"{'seconds':<28} {'median':>8} {'best':>8} {'of CPU':>8}   may take")
    for title, runs in took.items():
        limit = f"{LIMITS[title]:.2f}" if title in LIMITS else ""
        figures = (statistics.median(seconds(runs)), min(seconds(runs)), min(cpu(runs)))
        print(f"{title:<28} {' '.join(f'{figure:8.3f}' for figure in figures)}   {limit}".rstrip())
    if _SCHEMA in took:
        ours, theirs = took[_GENERATE], took[_SCHEMA]
        of_medians = statistics.median(seconds(ours)) / statistics.median(seconds(theirs))
        of_cpu = min(cpu(ours)) / min(cpu(theirs))
        print(f"{_GENERATE} / {_SCHEMA}: {of_medians:.2f}, of CPU {of_cpu:.2f}; may be {SHARE}")


def seconds(runs: Sequence[Took]) -> list[float]:
    return [run.seconds for run in runs]


def cpu(runs: Sequence[Took]) -> list[float]:
    return [run.cpu for run in runs]


if __name__ == "__main__":
    main()
