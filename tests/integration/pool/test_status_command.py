"""`worker-bakery status` against a real collector with advertised slots: the rows of condor_status.

One pool for all tests, of the image's HTCondor; condor_advertise of that pool sends the ads.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.network import GATEWAY, Network
from bakery.runtime import conditions
from bakery.runtime.conditions import Condition
from bakery.status import ask, ranges
from bakery.status.selection import classad_string
from bakery.status.workers import OF_DYNAMIC_SLOTS, PROJECTION, Ad, Worker, in_order, workers_of
from bakery.tokens import signing
from bakery.verify.pool import throwaway_pool
from bakery.verify.pool.throwaway_pool import KEY, TRUST_DOMAIN, Pool
from tests.acceptance import Client, folder_of, inside, secret_file
from tests.conftest import BIN, Ended, command

GROUP = 'My "workers" \\ é'
HOSTILE = "\x1b[2J\x07 disk\tfull\rWARNING \u202e"  # condor_advertise cannot send a line feed
START = '( MY.NODE_IS_HEALTHY =?= true ) && TARGET.ProjectName == "TG-ABC123"'

NOW = time.time()
Value = str | int | bool


class Expression(str):
    """The text of an attribute that is an expression."""


@pytest.fixture(scope="module")
def pool(pool: Pool, network: Network) -> Pool:
    advertise(pool, network, "all", slots())
    return pool


def slot(machine: str, name: str = "slot1", **more: Value) -> dict[str, Value]:
    """The ad of a partitionable slot with 4 CPUs."""
    now = int(time.time())
    return {
        "MyType": "Machine", "Name": f"{name}@{machine}", "Machine": machine,
        "MyAddress": f"<{GATEWAY}:1?sock={machine}>",
        "WorkerGroupName": GROUP, "SlotType": "Partitionable", "State": "Unclaimed", "Activity": "Idle",
        "Cpus": 4, "TotalSlotCpus": 4, "Memory": 8192, "TotalSlotMemory": 8192,
        "MyCurrentTime": now, "DaemonStartTime": now - 7300, "EnteredCurrentActivity": now - 200,
        "Start": Expression(START), "NODE_IS_HEALTHY": True, "NODE_STATUS": "OK",
        "WorkerImage": "osg-debian13-0a1b2c3d4e5f", **more,
    }  # fmt: skip


def claimed(machine: str, number: int, **more: Value) -> dict[str, Value]:
    """The ad of a dynamic slot that runs a job on 1 CPU."""
    its: dict[str, Value] = {
        "SlotType": "Dynamic",
        "State": "Claimed",
        "Activity": "Busy",
        "Cpus": 1,
        "TotalSlotCpus": 1,
    }
    job = {"RemoteOwner": f"alice@{TRUST_DOMAIN}", "JobId": f"{number}.0"}
    return slot(
        machine, f"slot1_{number}", **{**its, "Memory": 1024, "TotalSlotMemory": 1024, **job, **more}
    )


def slots() -> list[dict[str, Value]]:
    """Workers in the group, a worker in another group, and one of PROMINENCE."""
    return [
        slot("busy", Cpus=2, Memory=6144), claimed("busy", 1), claimed("busy", 2),
        slot("idle"),
        slot("draining", Draining=True, DrainReason="kernel update"), claimed("draining", 3),
        slot("unhealthy", NODE_IS_HEALTHY=False, NODE_STATUS=HOSTILE),
        slot("broken", Start=Expression("error")),
        slot("unclear", Start=Expression("undefined")),
        slot("open", Start=True),
        slot("strange", WorkerImage=HOSTILE),
        slot("other", WorkerGroupName="Another group"),
        slot("cloudy", WorkerGroupName="", ProminenceCloud="c1", ProminenceRegion="r1"),
    ]  # fmt: skip


def text_of(ad: Mapping[str, Value]) -> str:
    """The ad in HTCondor's old syntax."""
    return "".join(f"{name} = {_value(value)}\n" for name, value in ad.items())


def _value(value: Value) -> str:
    is_text = isinstance(value, str) and not isinstance(value, Expression)
    return classad_string(str(value)) if is_text else str(value)


def advertise(pool: Pool, network: Network, name: str, ads: list[dict[str, Value]]) -> None:
    """Send ads by condor_advertise; `name` is that of a new folder."""
    claims = {"issuer": TRUST_DOMAIN, "subject": throwaway_pool.IDENTITY, "lifetime": 3600}
    scopes = ("ADVERTISE_STARTD", "READ")
    token = signing.mint(pool.signing_key, KEY, scopes=scopes, **claims)  # type: ignore[arg-type]  # of a dict
    folder, there = folder_of(pool, name)
    secret_file(folder / "token", token.encode())
    (folder.parent / "ads").write_text("\n".join(map(text_of, ads)))
    file = there.replace("tokens.d", "ads")
    sent = Client(pool.root, network).run(
        there, "condor_advertise", "-pool", GATEWAY, "-tcp", "-multiple", "UPDATE_STARTD_AD", file
    )
    assert sent.status == 0, sent.stdout + sent.stderr


def status(network: Network, *argv: str, pool: str = GATEWAY) -> Ended:
    return command("worker-bakery", "status", "--pool", pool, *argv, prefix=network.argv([]))


def workers(network: Network, *argv: str) -> dict[str, dict[str, Any]]:
    done = status(network, "--json", *(argv or ("--group", GROUP)))
    assert done.status == 0, done.err
    return {worker["name"]: worker for worker in json.loads(done.out)["workers"]}


def test_the_state_of_each_worker(pool: Pool, network: Network) -> None:
    found = workers(network)
    assert {name: worker["state"] for name, worker in found.items()} == {
        "broken": "Start error",
        "busy": "busy",
        "draining": "draining",
        "idle": "idle",
        "open": "idle",
        "strange": "idle",
        "unclear": "Start error",
        "unhealthy": "unhealthy",
    }
    assert list(found) == sorted(found)
    busy = found["busy"]
    assert (busy["slots_busy"], busy["slots"], busy["cpus_busy"], busy["cpus"]) == (2, 3, 2, 4)
    assert (busy["memory_busy"], busy["jobs"]) == (2048, ["1.0", "2.0"])
    assert busy["users"] == [f"alice@{TRUST_DOMAIN}"]
    assert busy["identity"] == throwaway_pool.IDENTITY
    assert busy["up"] >= 7300
    assert found["idle"]["idle"] >= 200
    assert found["open"]["accepts"] == "any job"
    assert found["unhealthy"]["health"] == HOSTILE  # JSON has it as it is, and escapes it


def in_parts(network: Network, constraint: str, limit: int) -> tuple[list[int], tuple[Worker, ...]]:
    """How many slots each part of an answer has, and the workers."""
    sizes: list[int] = []
    found: list[Worker] = []

    def take(ads: list[Ad], collector: ask.Collector) -> None:
        sizes.append(len(ads))
        found.extend(workers_of(ads, NOW))

    question = ask.Question(GATEWAY, "", constraint)
    inside(network, lambda: ask.ask(question, PROJECTION, take, OF_DYNAMIC_SLOTS, limit))
    return sizes, in_order(found)


def test_an_answer_in_parts(pool: Pool, network: Network) -> None:
    """A limit of a few slots instead of thousands: the workers are the same."""
    constraint = f"WorkerGroupName == {classad_string(GROUP)}"
    (whole,), expected = in_parts(network, constraint, ranges.LIMIT)
    sizes, found = in_parts(network, constraint, 4)
    assert len(sizes) >= 4
    assert sum(sizes) == whole
    assert found == expected


def test_the_same_rows_as_condor_status(pool: Pool, network: Network) -> None:
    names = ("Machine", "State", "Cpus", "Memory", "WorkerImage", "Start")
    constraint = f"WorkerGroupName == {classad_string(GROUP)}"
    query = (
        "condor_status",
        "-pool",
        GATEWAY,
        "-const",
        constraint,
        "-json",
        "-attributes",
        ",".join(names),
    )
    theirs = json.loads(pool._tool(*query))
    ours = workers(network)
    assert {ad["Machine"] for ad in theirs} == set(ours)
    for ad in theirs:
        assert ours[ad["Machine"]]["image"] == ad["WorkerImage"]
    rows = pool._tool("condor_status", "-pool", GATEWAY, "-const", constraint, "-af:r", "Machine", "Start")
    assert {tuple(row.replace('"', "", 2).split(" ", 1)) for row in rows.splitlines()} == {
        (name, worker["start"]) for name, worker in ours.items()
    }


def test_the_printed_command_of_htcondor_finds_the_same_slots(pool: Pool, network: Network) -> None:
    line = status(network, "--group", GROUP).err.partition("HTCondor: ")[2]
    rows = pool._tool(*shlex.split(line), "-af", "Machine").split()
    assert set(rows) == set(workers(network))


def test_the_table(pool: Pool, network: Network) -> None:
    done = status(network, "--group", GROUP)
    assert done.status == 0
    assert all(one.isprintable() for one in done.out.replace("\n", ""))
    [busy] = [line for line in done.out.splitlines() if line.startswith("busy")]
    assert busy.split()[:7] == ["busy", "busy", "2/3", "2/4", "2.0/8.0", "2", "alice"]
    assert "WARNING: Start of open is `true`: any job of any user" in done.out
    assert "WARNING: Start of broken has an error" in done.out
    assert "WARNING: unhealthy is unhealthy: \\x1b[2J\\x07 disk\\x09full\\x0dWARNING \\u202e" in done.out
    assert "8 workers (1 busy, 3 idle, 1 draining, 1 unhealthy, 2 Start error); claimed: 3 of" in done.out


def test_csv(pool: Pool, network: Network) -> None:
    done = status(network, "--group", GROUP, "--csv", "--quiet")
    assert (done.status, done.err) == (0, "")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["name"] for row in rows] == list(workers(network))
    assert "\x1b" not in done.out


def test_prominence(pool: Pool, network: Network) -> None:
    assert list(workers(network, "--cloud", "c1", "--region", "r1")) == ["cloudy"]
    assert workers(network, "--cloud", "c1", "--region", "r2") == {}


def test_a_group_without_workers(pool: Pool, network: Network) -> None:
    done = status(network, "--group", "Another group 2")
    assert done.status == 0
    wanted = f"{GATEWAY} has no worker with WorkerGroupName Another group 2. Did you mean Another group?\n"
    assert done.out == wanted


def test_a_constraint_is_data(pool: Pool, network: Network) -> None:
    assert workers(network, "--group", '" || true || WorkerGroupName == "') == {}


def test_wait_until_a_worker_joins(pool: Pool, network: Network) -> None:
    advertise(pool, network, "first", [slot("late-1", WorkerGroupName="Late")])
    argv = [str(BIN / "worker-bakery"), "status", "--pool", GATEWAY, "--group", "Late", "--wait", "2"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(network.argv([*argv, "--timeout", "5m"]), **pipes) as waiting:
        assert waiting.stderr
        for line in waiting.stderr:
            if "1 of 2 workers have joined" in line:
                break
        assert waiting.poll() is None
        advertise(pool, network, "second", [slot("late-2", WorkerGroupName="Late")])
        out, _ = waiting.communicate(timeout=120)
    assert waiting.returncode == 0
    assert "late-2" in out


def test_wait_without_enough_workers(pool: Pool, network: Network) -> None:
    done = status(network, "--group", "Another group", "--wait", "2", "--timeout", "1s")
    assert done.status == 5
    assert "1 of 2 workers have joined" in done.err
    assert "within 1s. In the pool: 1 worker (1 idle)" in done.err
    assert "other" in done.out
    done = status(network, "--group", "Nobody", "--wait", "1", "--timeout", "1s")
    assert done.status == 5
    assert "The pool has no ad of such a worker" in done.err


# --- no answer, in words -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "code", "words"),
    [
        (f"{GATEWAY}:1", 5, "refuses connections to port 1"),
        ("192.0.2.1", 5, "Cannot reach 192.0.2.1"),
        (f"{GATEWAY}:99999", 2, "99999 is not a port"),
    ],
)
def test_no_collector_there(host: str, code: int, words: str, pool: Pool, network: Network) -> None:
    done = status(network, "--group", GROUP, pool=host)
    assert (done.status, done.out) == (code, "")
    assert words in done.err


def test_a_daemon_that_is_no_collector(pool: Pool, network: Network) -> None:
    [address] = pool._tool("condor_status", "-pool", GATEWAY, "-schedd", "-af", "MyAddress").split()
    socket = address.partition("sock=")[2].rstrip(">")
    done = status(network, "--group", GROUP, pool=f"{GATEWAY}:9618?sock={socket}")
    assert done.status == 2
    assert "is not a collector" in done.err


def test_a_pool_that_requires_a_token_for_reading(pool: Pool, network: Network, tmp_path: Path) -> None:
    """The last test: it changes the pool's configuration."""
    config = pool.root / "etc/condor/config.d/90-read.config"
    config.write_text("ALLOW_READ = condor@*, reader@cloud\nALLOW_WRITE = condor@*\n")
    pool.reconfigure()
    anonymous = Condition(
        "the pool denies READ to anonymous users",
        lambda: status(network, "--group", GROUP),
        60,
        lambda done: done.status != 0,
    )
    done = conditions.wait(anonymous)
    assert done.status == 5
    assert "refuses anonymous queries. Use --token-file" in done.err
    for subject, code in (("reader@cloud", 0), ("other@cloud", 2)):
        token = signing.mint(
            pool.signing_key, KEY, issuer=TRUST_DOMAIN, subject=subject, scopes=("READ",), lifetime=600
        )
        file = secret_file(tmp_path / subject, token.encode())
        done = status(network, "--group", GROUP, "--token-file", str(file))
        assert done.status == code, done.err
        assert token not in done.out + done.err
    assert "does not authorize other@cloud for READ" in done.err
