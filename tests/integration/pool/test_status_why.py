"""`worker-bakery status why` for jobs that do not run for different reasons, in a real pool of HTCondor.

One pool for all tests, of the image's HTCondor, with several startds on loopback. HTCondor confirms each
verdict: the negotiator rejects the job, condor_q -better-analyze counts the same workers, and the job runs
after the change that is named first.
"""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.network import GATEWAY, Network
from bakery.runtime import conditions
from bakery.verify.pool.throwaway_pool import RUNNING, SUBMITTER, TRUST_DOMAIN, Pool, classad_string
from tests.conftest import Ended, command

GROUP = "My workers"
PROJECT = "TG-ABC123"
HOSTILE = "\x1b[2J\x07 disk\tfull \u202e"
_SECONDS = 120

_WORKERS = """\
use feature:PartitionableSlot
RunBenchmarks = False
UPDATE_INTERVAL = 5
FILESYSTEM_DOMAIN = worker.invalid
NUM_CPUS = 2
MEMORY = 2048
NODE_IS_HEALTHY = True
NODE_STATUS = "OK"
STARTD_ATTRS = $(STARTD_ATTRS) WorkerGroupName NODE_IS_HEALTHY NODE_STATUS WorkerRetires WorkerEnds
Project = TG-ABC123
START = ( MY.NODE_IS_HEALTHY =?= True ) && ( TARGET.ProjectName == "$(Project)" )
"""
_DAEMON = """\
DAEMON_LIST = $(DAEMON_LIST), STARTD_{name}
STARTD_{name} = $(STARTD)
STARTD_{name}_ARGS = -f -local-name {name}
{name}.STARTD_NAME = {name}
{name}.STARTD_LOG = $(LOG)/StartLog.{name}
{name}.EXECUTE = /var/lib/condor/execute-{name}
"""
# The policy of a worker with MaxLifetime (condor_config.py of the worker).
_LASTS = "TARGET.AllowedExecuteDuration"
_LIFETIME = (
    f"ifThenElse(isUndefined({_LASTS}), time() < MY.WorkerRetires, time() + {_LASTS} <= MY.WorkerEnds)"
)


def settings() -> Mapping[str, Mapping[str, str]]:
    """Of each worker, its configuration besides _WORKERS."""
    now = int(time.time())
    return {
        "big": {"WorkerGroupName": '"My workers"', "NUM_CPUS": "4", "MEMORY": "4096"},
        "small": {"WorkerGroupName": '"My workers"'},
        "sick": {
            "WorkerGroupName": '"Sick"',
            "Project": "TG-SICK",
            "NODE_IS_HEALTHY": "False",
            "NODE_STATUS": classad_string(HOSTILE),
        },
        "broken": {"WorkerGroupName": '"Broken"', "START": "error"},
        "closed": {"WorkerGroupName": '"Closed"', "START": "False"},
        "drained": {"WorkerGroupName": '"Drained"', "Project": "TG-DRAINED"},
        "full": {"WorkerGroupName": '"Full"', "NUM_CPUS": "1", "Project": "TG-FULL"},
        "old": {
            "WorkerGroupName": '"Old"',
            "START": f'( {_LIFETIME} ) && ( TARGET.ProjectName == "TG-OLD" )',
            "WorkerRetires": str(now - 60),
            "WorkerEnds": str(now + 7200),
        },
    }


@dataclass(frozen=True)
class Case:
    """A job, the group that is asked about, and what the verdict must be.

    `repaired` is whether the command that is named first is run, and the job then runs.
    """

    reason: str
    words: str
    group: str = GROUP
    project: str = PROJECT
    more: Mapping[str, str] = field(default_factory=dict)
    repaired: bool = False
    waits: bool = True  # for a match: the negotiator rejects it


CASES = {
    "memory": Case(
        "memory",
        "The job requests 16384 MB of memory; the largest slot has 4096 MB",
        more={"request_memory": "16384"},
        repaired=True,
    ),
    "cpus": Case(
        "cpus",
        "The job requests 8 CPUs; the largest slot has 4 CPUs",
        more={"request_cpus": "8"},
        repaired=True,
    ),
    "disk": Case(
        "disk", "of disk; the largest slot has", more={"request_disk": "9000000000"}, repaired=True
    ),
    "gpus": Case("gpus", "The job requests 1 GPU; the workers have none", more={"request_gpus": "1"}),
    "project": Case(
        "project",
        'the job has ProjectName "TG-ABC124". Did you mean TG-ABC123?',
        project="TG-ABC124",
        repaired=True,
    ),
    "no-project": Case("project", "the job has no ProjectName", project="", repaired=True),
    "system": Case(
        "system",
        'The job requires OpSysAndVer == "Debian12"; on big@',
        more={"requirements": 'OpSysAndVer == "Debian12"'},
    ),
    "container": Case(
        "container",
        "HasContainer is not defined",
        more={"universe": "container", "container_image": "docker://debian:13"},
    ),
    "attribute": Case(
        "requirements", "Did you mean HAS_PYTHON3?", more={"requirements": "TARGET.HASPYTHON3 =?= true"}
    ),
    "file-transfer": Case(
        "file-transfer",
        'FileSystemDomain is "worker.invalid"',
        more={"requirements": "TARGET.FileSystemDomain == MY.FileSystemDomain"},
    ),
    "held": Case(
        "held", "The job is held: submitted on hold", more={"hold": "true"}, repaired=True, waits=False
    ),
    "unhealthy": Case("unhealthy", "is unhealthy: \\x1b[2J\\x07 disk\\x09full \\u202e", "Sick", "TG-SICK"),
    "start-error": Case("start-error", "has an error, so no job starts there", "Broken", "TG-BROKEN"),
    "start-false": Case("start-false", "is false: no job starts there", "Closed", "TG-CLOSED"),
    "draining": Case(
        "draining", "is draining (kernel update): no job starts there", "Drained", "TG-DRAINED"
    ),
    "retiring": Case("retiring", "only jobs that state a duration and end in time", "Old", "TG-OLD"),
    "busy": Case(
        "busy", f"Other jobs of {SUBMITTER}@{TRUST_DOMAIN} occupy full@", "Full", project="TG-FULL"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def pool(pool: Pool, network: Network) -> Pool:
    add_workers(pool)
    return pool


def add_workers(pool: Pool) -> None:
    rows = [_WORKERS]
    for name, values in settings().items():
        folder = f"/var/lib/condor/execute-{name}"
        (pool.root / folder[1:]).mkdir()
        pool._tool("chown", "condor:condor", folder)
        rows.append(_DAEMON.format(name=name))
        rows += [f"{name}.{key} = {value}\n" for key, value in values.items()]
    (pool.root / "etc/condor/config.d/50-workers.config").write_text("".join(rows))
    pool.reconfigure()
    conditions.wait_until(
        "the workers have joined", lambda: names(pool), settings().keys().__le__, _SECONDS
    )
    pool._tool("condor_drain", "-reason", "kernel update", slot_of("drained"))


def names(pool: Pool) -> set[str]:
    """The workers of which the pool has a slot that is ready."""
    rows = pool._tool("condor_status", "-af", "Name").split()
    return {row.split("@")[1] for row in rows}


def slot_of(worker: str) -> str:
    return f"slot1@{worker}@{TRUST_DOMAIN}"


@pytest.fixture(scope="module")
def running(pool: Pool) -> str:
    """A job that runs, and fills its worker."""
    job = pool.submit("runs", "TG-FULL", "#!/bin/sh\nexec sleep 3600\n")
    conditions.wait_until("the job runs", lambda: pool.job(job)[0], (int(RUNNING)).__eq__, _SECONDS)
    return job


@pytest.fixture(scope="module")
def jobs(pool: Pool, running: str) -> Mapping[str, str]:
    """The ids of the jobs of CASES, after the negotiator has rejected those that wait."""
    since = int(time.time()) - 1
    ids = {
        name: pool.submit(name, case.project, "#!/bin/sh\nexit 0\n", case.more)
        for name, case in CASES.items()
    }
    waiting = [ids[name] for name, case in CASES.items() if case.waits]

    def pending() -> list[str]:
        return [job for job in waiting if not pool.job_state(job).is_rejected(since)]

    conditions.wait_until("the negotiator has rejected the jobs", pending, list[str]().__eq__, _SECONDS)
    return ids


def ask(network: Network, *argv: str) -> Ended:
    return command("worker-bakery", "status", "why", "--pool", GATEWAY, *argv, prefix=network.argv([]))


def why(network: Network, *argv: str) -> dict[str, Any]:
    done = ask(network, "--json", *argv)
    assert done.status == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_reason(name: str, jobs: Mapping[str, str], pool: Pool, network: Network) -> None:
    case = CASES[name]
    found = why(network, jobs[name], "--group", case.group)
    assert (found["job"], found["reason"]) == (jobs[name], case.reason)
    [first] = found["findings"]
    assert case.words in f"{first['text']} {first['change']}"
    assert not any(worker["accepts"] for worker in found["workers"]) or not case.waits
    if case.waits:
        assert analyzed(pool, jobs[name], case.group) == counted(found)


def analyzed(pool: Pool, job: str, group: str) -> tuple[int, int]:
    """By condor_q -better-analyze: the slots that the job excludes, and those that exclude the job."""
    constraint = f'WorkerGroupName == {classad_string(group)} && SlotType =!= "Dynamic"'
    text = pool._tool("condor_q", job, "-better-analyze", "-mconst", constraint)
    counts = [
        re.search(rf"(\d+) {words}", text)
        for words in ("are rejected by your job's requirements", "reject your job because of their own")
    ]
    assert all(counts), text
    by_job, by_worker = (int(one[1]) for one in counts if one)
    return by_job, by_worker


def counted(found: Mapping[str, Any]) -> tuple[int, int]:
    """The same by our verdict."""
    lasting = [row for row in found["conditions"] if row["lasting"]]
    by_any = {worker for row in lasting for worker in row["workers"]}
    by_job = {
        worker
        for row in lasting
        for worker in row["workers"]
        if any(clause["of"] == "job" for clause in row["clauses"])
    }
    return len(by_job), len(by_any - by_job)


def test_the_job_runs_after_the_change_that_is_named_first(
    jobs: Mapping[str, str], pool: Pool, network: Network
) -> None:
    repaired = {name: jobs[name] for name, case in CASES.items() if case.repaired}
    for job in repaired.values():
        found = why(network, job, "--group", GROUP)
        pool._tool(*shlex.split(found["findings"][0]["command"]))

    def left() -> set[str]:
        return {name for name, job in repaired.items() if not pool.job(job)[1]}

    conditions.wait_until("the jobs have started", left, set[str]().__eq__, _SECONDS)
    assert len(repaired) >= 4


def test_a_worker_that_drains_runs_the_job_after_the_change(
    jobs: Mapping[str, str], pool: Pool, network: Network
) -> None:
    found = why(network, jobs["draining"], "--group", "Drained")
    pool._tool(*shlex.split(found["findings"][0]["command"]))
    conditions.wait_until(
        "a job of this project starts on the worker",
        lambda: pool._tool(
            "condor_status", "-const", f'Name == "{slot_of("drained")}"', "-af", "JobStarts"
        ),
        lambda text: text.strip() not in ("", "0", "undefined"),
        _SECONDS,
    )


def test_a_running_job(running: str, network: Network) -> None:
    found = why(network, running, "--group", "Full")
    assert found["reason"] == "running"
    assert "The job is running on slot1_1@full@" in found["findings"][0]["text"]
    assert "which is not one of" in why(network, running, "--group", GROUP)["findings"][0]["text"]


def test_no_worker_of_the_name(jobs: Mapping[str, str], network: Network) -> None:
    found = why(network, jobs["gpus"], "--group", "My worker5")
    assert found["reason"] == "no-workers"
    assert "Did you mean My workers?" in found["findings"][0]["text"]


def test_the_ad_in_a_file(jobs: Mapping[str, str], pool: Pool, network: Network, tmp_path: Path) -> None:
    """As condor_q prints it; also that of a job whose access point the collector does not know."""
    text = pool._tool("condor_q", "-l", jobs["gpus"])
    file = tmp_path / "job.ad"
    file.write_text(text)
    assert why(network, "--job-ad", str(file), "--group", GROUP)["reason"] == "gpus"
    file.write_text(text.replace(f'GlobalJobId = "{TRUST_DOMAIN}', 'GlobalJobId = "ap.elsewhere.invalid'))
    found = why(network, jobs["gpus"], "--job-ad", str(file), "--group", GROUP)
    assert [one["reason"] for one in found["findings"]] == ["not-in-pool", "gpus"]
    assert "knows no access point ap.elsewhere.invalid" in found["findings"][0]["text"]


def test_what_a_user_sees(jobs: Mapping[str, str], network: Network) -> None:
    done = ask(network, jobs["unhealthy"], "--group", "Sick")
    assert done.status == 0
    assert all(character.isprintable() for character in done.out.replace("\n", ""))
    assert re.search(r"1 of 1 +MY.NODE_IS_HEALTHY =\?= true +worker +- +NODE_IS_HEALTHY false", done.out)
    assert "1 worker: 0 free for the job, 0 occupied by other jobs, 1 excluded." in done.out
    assert "Not judged: user priority" in done.out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("99999",), "have no job 99999"),
        (("1", "--schedd", "pool.verify.invalit"), f"Did you mean {TRUST_DOMAIN}?"),
        (("x",), "JOB is not the id of a job"),
        ((), "A job is required"),
    ],
)
def test_no_such_job(argv: tuple[str, ...], words: str, pool: Pool, network: Network) -> None:
    done = ask(network, *argv, "--group", GROUP)
    assert (done.status, done.out) == (2, "")
    assert words in done.err


def test_the_ad_on_standard_input(jobs: Mapping[str, str], pool: Pool, network: Network) -> None:
    text = pool._tool("condor_q", "-l", jobs["cpus"], jobs["gpus"])
    argv = ("status", "why", "--pool", GATEWAY, jobs["gpus"], "--job-ad", "-", "--group", GROUP)
    done = command("worker-bakery", *argv, prefix=network.argv([]), stdin=text)
    assert done.status == 0, done.err
    assert "The job requests 1 GPU; the workers have none." in done.out


def test_a_daemon_that_is_no_collector(pool: Pool, network: Network) -> None:
    [address] = pool._tool("condor_status", "-pool", GATEWAY, "-schedd", "-af", "MyAddress").split()
    there = f"{GATEWAY}:9618?sock={address.partition('sock=')[2].rstrip('>')}"
    argv = ("status", "why", "1", "--pool", there, "--group", GROUP)
    done = command("worker-bakery", *argv, prefix=network.argv([]))
    assert done.status == 2
    assert "is not a collector" in done.err


def test_jobs_that_have_left_the_queue(jobs: Mapping[str, str], pool: Pool, network: Network) -> None:
    pool.remove(jobs["gpus"])
    found = why(network, jobs["gpus"], "--group", GROUP)
    assert found["reason"] == "removed"
    assert "via condor_rm" in found["findings"][0]["text"]


def test_without_a_negotiator(pool: Pool, network: Network) -> None:
    """The last test but one: the pool matches nothing any more."""
    pool.switch("negotiator", on=False)
    more = {"request_memory": "3000"}  # so that no claim is reused
    job = pool.submit("late", PROJECT, "#!/bin/sh\nexit 0\n", more)
    gone = conditions.wait_until(
        "the collector has no negotiator",
        lambda: why(network, job, "--group", GROUP),
        lambda found: found["reason"] == "no-negotiator",
        _SECONDS,
    )
    assert gone["findings"][1]["reason"] == "not-considered"
    # One worker or two: the other may still have the job that ran before.
    assert re.search(
        r"accepts? the job now, but the negotiator has not considered it", gone["findings"][1]["text"]
    )


def test_a_pool_that_requires_a_token_for_reading(pool: Pool, network: Network) -> None:
    """The last test: it changes the pool's configuration."""
    config = pool.root / "etc/condor/config.d/90-read.config"
    config.write_text("ALLOW_READ = condor@*\nALLOW_WRITE = condor@*\n")
    pool.reconfigure()
    done = conditions.wait_until(
        "the pool denies READ to anonymous users",
        lambda: ask(network, "1", "--group", GROUP),
        lambda found: "anonymous" in found.err,
        _SECONDS,
    )
    assert (done.status, done.out) == (5, "")
    assert "refuses anonymous queries. Use --token-file" in done.err
