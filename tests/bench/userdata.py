"""How long gen-userdata takes, as a whole process, and how much memory a long table needs.

    scripts/bench userdata

One worker: the median of nine runs, after one that leaves Python's bytecode behind. Where cloud-init
is installed, its own look at a cloud-config is the measure to compare with. Many workers: tables of
1,000 and 10,000 rows, so that what grows is seen.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bakery.tokens import signing

RUNS = 9
ROWS = (1_000, 10_000)
# An installed program has its bytecode; some development machines forbid to write any.
WARM = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
GENERATE = str(Path(sys.executable).parent / "gen-userdata")


@dataclass(frozen=True)
class Took:
    """Seconds by the clock and of all processors; the most memory at any time."""

    seconds: float
    cpu: float
    peak_mib: float


def main() -> None:
    with TemporaryDirectory(prefix="bench-userdata-") as name:
        folder = Path(name)
        words = [GENERATE, "--token-file", str(token_in(folder)), "--project", "TG-ABC123"]
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
        print(f"{'gen-userdata, one worker':<46} {median(words):.3f} s (median of {RUNS})")
        compare(words, folder)
        for own_start in (False, True):
            for rows in ROWS:
                took = many(words, folder, rows, own_start=own_start)
                title = f"--batch, {rows:,} rows, {'each with a Start' if own_start else 'projects only'}"
                print(f"{title:<46} {took.seconds:.2f} s ({took.cpu:.2f} of CPU), {took.peak_mib:.0f} MiB")


def token_in(folder: Path) -> Path:
    """A token with which gen-userdata finds nothing wrong."""
    path = folder / "token"
    path.touch(mode=0o600)
    scopes = ("ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ")
    issuer, subject = "flock.opensciencegrid.org", "worker@cloud"
    token = signing.mint(
        bytes(64), "POOL", issuer=issuer, subject=subject, scopes=scopes, lifetime=30 * 86400
    )
    path.write_text(token)
    return path


def compare(words: Sequence[str], folder: Path) -> None:
    """With cloud-init's check of what gen-userdata makes, on this machine and at this time."""
    if not shutil.which("cloud-init"):
        print("cloud-init is not installed here: nothing to compare with")
        return
    path = folder / "user-data"
    run([*words, "--format", "cloud-config", "-q", "-o", str(path)])
    seconds = median(["cloud-init", "schema", "-c", str(path)])
    print(f"{'cloud-init schema -c, the same as cloud-config':<46} {seconds:.3f} s (median of {RUNS})")


def many(words: Sequence[str], folder: Path, rows: int, *, own_start: bool) -> Took:
    table, out = folder / "workers.csv", folder / "out"
    lines = (f"w{n},{f'TARGET.RequestCpus < {n + 1}' if own_start else ''}\n" for n in range(rows))
    table.write_text("group_name,start\n" + "".join(lines))
    took = run([*words, "--batch", str(table), "-o", str(out), "-q"])
    assert len(list(out.iterdir())) == rows
    shutil.rmtree(out)
    return took


def median(words: Sequence[str]) -> float:
    run(words)
    return statistics.median(run(words).seconds for _ in range(RUNS))


def run(words: Sequence[str], cache: Path | None = None) -> Took:
    """The whole process from its start to its end; it has to succeed and to find nothing wrong."""
    env = WARM if cache is None else {**WARM, "WORKER_BAKERY_CACHE": str(cache)}
    started = time.perf_counter()
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=env)
    assert child.stderr
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode or "warning" in said:
        raise SystemExit(f"{words[0]} ended with {child.returncode}: {said}")
    return Took(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    main()
