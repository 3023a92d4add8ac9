"""How long `status` takes for a large group, and how much memory, beside condor_status -json | jq.

    scripts/bench status [--workers 5000] [--rounds 3]; root

A throw-away pool of the default image has the slots; each worker has ten. Both commands ask the same
collector for the same attributes of the same slots, one after the other, and print a row for each worker.
Half of the workers are asked for, too, to see what grows.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

from bakery.machines.network import isolated
from bakery.verify.pool import throwaway_pool
from tests import big_collector
from tests.big_collector import Took
from tests.conftest import bake, mounted, own_mounts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    own_mounts()
    image = Path(bake("osg")["path"])
    with TemporaryDirectory(prefix="bench-status-") as name:
        work = Path(name)
        for folder in ("image", "network", "pool"):
            (work / folder).mkdir()
        with (
            mounted(image, work / "image") as root,
            isolated(work / "network") as network,
            throwaway_pool.start_in_sandbox(root, work / "pool", network) as pool,
        ):
            for workers in (options.workers // 2, options.workers):
                seconds = big_collector.fill(pool, workers)
                print(f"{workers * 10:,} slots of {workers:,} workers, advertised in {seconds:.0f} s")
                ours, theirs = [], []
                for _ in range(options.rounds):
                    theirs.append(big_collector.measured(big_collector.theirs(pool), work / "theirs"))
                    ours.append(big_collector.measured(big_collector.ours(network), work / "ours"))
                show("worker-bakery status", ours)
                show("condor_status -json | jq", theirs)


def show(title: str, took: list[Took]) -> None:
    seconds, cpu, peak = (
        statistics.median(getattr(one, name) for one in took) for name in ("seconds", "cpu", "peak")
    )
    load = f"load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores"
    print(
        f"  {title:<26} {seconds:6.2f} s {cpu:6.2f} s of CPU {peak:5.0f} MiB at most  ({load})", flush=True
    )


if __name__ == "__main__":
    main()
