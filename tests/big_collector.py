"""A real collector that holds many advertised slots, and what a query of all of them takes.

For scripts/bench status, and for the test of the same name.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.machines.network import GATEWAY, Network
from bakery.status.workers import PROJECTION
from bakery.tokens import signing
from bakery.verify.pool import throwaway_pool
from bakery.verify.pool.throwaway_pool import KEY, TRUST_DOMAIN, Pool
from provisioner.process import run
from tests.acceptance import folder_of, secret_file
from tests.conftest import BIN
from tests.integration.pool.test_status_command import Value, claimed, slot, text_of

GROUP = "Big"
DYNAMIC = 9  # slots of a worker, besides its partitionable slot
# A startd advertises more than 150 attributes; without some of them, a projection would change nothing.
_MORE: dict[str, Value] = {
    **{f"Feature{number}": f"value of feature {number}" for number in range(30)},
    **{f"Number{number}": number * 1000 for number in range(30)},
    "ClassAdLifetime": 86400,
    "WorkerGroupName": GROUP,
}
# The rows of `worker-bakery status` by jq, of the output of condor_status -json.
ROWS = """
group_by(.Name | split("@")[-1]) | .[] | map(select(.State == "Claimed")) as $claimed |
{name: (.[0].Name | split("@")[-1]), slots_busy: ($claimed | length),
 cpus_busy: ($claimed | map(.Cpus) | add // 0), memory_busy: ($claimed | map(.Memory) | add // 0),
 cpus: (map(select(.SlotType != "Dynamic") | .TotalSlotCpus) | add),
 jobs: ($claimed | map(.JobId // empty) | sort), users: ($claimed | map(.RemoteOwner // empty) | unique),
 image: .[0].WorkerImage, start: .[0].Start}
"""


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of all processors; MiB at most, of all processes together."""

    seconds: float
    cpu: float
    peak: float


def ads(workers: int) -> Iterator[str]:
    """The text of each slot: a partitionable one of each worker, and its dynamic ones with a job each."""
    for number in range(workers):
        name = f"node-{number}.example.edu"
        whole: dict[str, Value] = {
            "Cpus": 1,
            "TotalSlotCpus": DYNAMIC + 1,
            "Memory": 1024,
            "NumDynamicSlots": DYNAMIC,
        }
        yield text_of(slot(name, "slot1", **{**whole, **_MORE}))
        for job in range(DYNAMIC):
            yield text_of(claimed(name, job + 1, **{**_MORE, "JobId": f"{10 * number + job}.0"}))


def fill(pool: Pool, workers: int) -> float:
    """Advertise the slots of so many workers by condor_advertise; return the seconds that it took."""
    folder, there = folder_of(pool, f"big-{workers}")
    token = signing.mint(
        pool.signing_key, KEY, issuer=TRUST_DOMAIN, subject=throwaway_pool.IDENTITY,
        scopes=("ADVERTISE_STARTD", "READ"), lifetime=86400,
    )  # fmt: skip
    secret_file(folder / "token", token.encode())
    file = folder.parent / "ads"
    with file.open("w") as out:
        out.writelines(f"{text}\n" for text in ads(workers))
    started = time.monotonic()
    settings = {
        "SEC_TOKEN_DIRECTORY": there, "SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS",
        "SEC_DEFAULT_AUTHENTICATION": "REQUIRED",
        "SEC_TOKEN_POOL_SIGNING_KEY_FILE": "/nonexistent", "SEC_PASSWORD_DIRECTORY": "/nonexistent",
    }  # fmt: skip
    env = [f"_CONDOR_{name}={value}" for name, value in settings.items()]
    send = ["condor_advertise", "-pool", GATEWAY, "-tcp", "-multiple", "UPDATE_STARTD_AD"]
    done = run.call(_within(pool, "env", *env, *send, there.replace("tokens.d", "ads")), env=_ENV)
    number = workers * (DYNAMIC + 1)
    assert f"Sent {number} of {number} ads" in done.stdout, done.stdout + done.stderr
    file.unlink()
    return time.monotonic() - started


def ours(network: Network, *options: str) -> list[list[str]]:
    """The pipeline of one command: worker-bakery status."""
    status = [str(BIN / "worker-bakery"), "status", "--pool", GATEWAY, "--group", GROUP, "--quiet"]
    return [network.argv([*status, *options])]


def theirs(pool: Pool) -> list[list[str]]:
    """The same question with HTCondor's command, and jq."""
    constraint = f'WorkerGroupName == "{GROUP}"'
    query = ["condor_status", "-pool", GATEWAY, "-const", constraint, "-json", "-attributes"]
    return [_within(pool, *query, ",".join(PROJECTION)), ["jq", "-c", ROWS]]


def measured(pipeline: Sequence[Sequence[str]], output: Path) -> Took:
    """Run commands, each with the output of the one before; the last one's goes to a file."""
    with output.open("wb") as out:
        started = time.perf_counter()
        children: list[subprocess.Popen[bytes]] = []
        for place, argv in enumerate(pipeline):
            before = children[-1].stdout if children else subprocess.DEVNULL
            after = subprocess.PIPE if place < len(pipeline) - 1 else out
            children.append(subprocess.Popen(argv, stdin=before, stdout=after, env=_WITHOUT_CONDOR))
            if children[:-1] and (pipe := children[-2].stdout):
                pipe.close()
        with _peaks(children) as peaks:
            usages = [os.wait4(child.pid, 0) for child in children]
        seconds = time.perf_counter() - started
    for child, (_, status, _) in zip(children, usages, strict=True):
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0, child.args
    cpu = sum(usage.ru_utime + usage.ru_stime for _, _, usage in usages)
    return Took(seconds, cpu, sum(peaks.values()) / 1024)


class _peaks:
    """Look at the peak memory of processes and their children again and again, in KiB."""

    def __init__(self, children: Sequence[subprocess.Popen[bytes]]) -> None:
        self._children, self._found = children, dict[int, int]()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> dict[int, int]:
        self._thread.start()
        return self._found

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            for child in self._children:
                for pid in _with_children(child.pid):
                    # The kernel's own mark of the peak: what is missed is its growth since the last look.
                    with suppress(OSError, IndexError, StopIteration):
                        status = Path(f"/proc/{pid}/status").read_text().splitlines()
                        line = next(row for row in status if row.startswith("VmHWM"))
                        self._found[pid] = int(line.split()[1])


def _with_children(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended
        return [pid]
    return [pid, *(one for child in children for one in _with_children(int(child)))]


def rows_of_ours(text: str) -> dict[str, dict[str, Any]]:
    """The workers by name, with what ROWS has; the text of Start is another one there."""
    names = ("name", "slots_busy", "cpus_busy", "memory_busy", "cpus", "jobs", "users", "image")
    found = ({name: worker[name] for name in names} for worker in json.loads(text)["workers"])
    return {row["name"]: {**row, "jobs": sorted(row["jobs"])} for row in found}


def rows_of_theirs(text: str) -> dict[str, dict[str, Any]]:
    found = map(json.loads, text.splitlines())
    return {row["name"]: {name: value for name, value in row.items() if name != "start"} for row in found}


def _within(pool: Pool, *argv: str) -> list[str]:
    assert pool.network
    return pool.network.argv(["chroot", str(pool.root), *argv])


_ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_WITHOUT_CONDOR = {name: value for name, value in os.environ.items() if "CONDOR" not in name}
