"""What keeps a job from workers, what to change first, and how it is printed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.commands.command_line import columns
from bakery.status.why import obstacles, report, verdict
from bakery.status.why.job_ads import Job
from bakery.status.why.verdict import Case, Pool, Verdict

NOW = 1_800_000_000
START = '( MY.NODE_IS_HEALTHY =?= true ) && ( TARGET.ProjectName == "TG-ABC123" )'
REQUIREMENTS = (
    '(TARGET.OpSys == "LINUX") && (TARGET.Disk >= RequestDisk) && (TARGET.Memory >= RequestMemory) && '
    "(TARGET.Cpus >= RequestCpus)"
)
LIMITS = (
    "MY.Cpus > 0 && TARGET.RequestCpus <= MY.Cpus && MY.Memory > 0 && TARGET.RequestMemory <= MY.Memory && "
    "(TARGET.RequestGPUs =?= undefined || MY.GPUs >= TARGET.RequestGPUs)"
)
HOSTILE = '\x1b[2J\x07"\\\r\nerror: x \u202e'
POOL = Pool("cm.example", "WorkerGroupName W", "$CondorVersion: 25.14.1 $", ("ap",), "ap")


def expression(text: str) -> dict[str, Any]:
    return {"expression": text, "source": text, "error": text == "error"}


def job(**changed: Any) -> Job:
    """An idle job of the project; None removes an attribute."""
    ad = {
        "ClusterId": 7, "ProcId": 0, "Owner": "alice", "JobStatus": 1, "JobUniverse": 5, "QDate": NOW - 60,
        "EnteredCurrentStatus": NOW - 60, "RequestCpus": 1, "RequestMemory": 512, "RequestDisk": 1024,
        "ProjectName": "TG-ABC123", "Requirements": expression(REQUIREMENTS), **changed,
    }  # fmt: skip
    return Job({name: value for name, value in ad.items() if value is not None})


def slot(worker: str, **changed: Any) -> dict[str, Any]:
    """An idle partitionable slot with 4 CPUs."""
    return {
        "Name": f"slot1@{worker}", "Machine": worker, "MyAddress": f"<10.0.0.1:1?sock={worker}>",
        "SlotType": "Partitionable", "State": "Unclaimed", "Activity": "Idle", "LastHeardFrom": NOW - 5,
        "MyCurrentTime": NOW - 5, "OpSys": "LINUX", "Cpus": 4, "TotalSlotCpus": 4, "Memory": 8192,
        "TotalSlotMemory": 8192, "Disk": 4096, "TotalSlotDisk": 4096.0, "GPUs": 0, "TotalSlotGPUs": 0,
        "NODE_IS_HEALTHY": True, "NODE_STATUS": "OK", "Start": expression(START),
        "Requirements": expression("START && (WithinResourceLimits)"),
        "WithinResourceLimits": expression(LIMITS), **changed,
    }  # fmt: skip


def claimed(worker: str, **changed: Any) -> dict[str, Any]:
    """A dynamic slot with a job."""
    its = {"SlotType": "Dynamic", "State": "Claimed", "RemoteOwner": "bob@x", "JobId": "1.0"}
    return {**slot(worker), "Name": f"slot1_1@{worker}", **its, **changed}


def case(asked: Job, *slots: Mapping[str, Any], pool: Pool = POOL) -> Case:
    return Case(asked, obstacles.assess(asked.ad, slots, NOW), pool, NOW)


def of(asked: Job, *slots: Mapping[str, Any], pool: Pool = POOL) -> Verdict:
    return verdict.of(case(asked, *slots, pool=pool))


def reasons(found: Verdict) -> list[str]:
    return [one.reason for one in found.findings]


def first(asked: Job, *slots: Mapping[str, Any], pool: Pool = POOL) -> str:
    """The first finding in one line."""
    one = of(asked, *slots, pool=pool).findings[0]
    return " | ".join((one.reason, one.text, one.change, shlex.join(one.command)))


def test_resources() -> None:
    workers = (slot("a"), slot("b", Memory=4096, TotalSlotMemory=4096))
    assert first(job(RequestMemory=16384), *workers) == (
        "memory | The job requests 16384 MB of memory; the largest slot has 8192 MB. | "
        "Request at most 8192 MB (request_memory = 8192), or start larger workers. | "
        "condor_qedit 7.0 RequestMemory 8192"
    )
    assert "8 CPUs; the largest slot has 4 CPUs" in first(job(RequestCpus=8), *workers)
    assert "9.5 GiB of disk; the largest slot has 4096 KiB" in first(job(RequestDisk=9_999_999), *workers)
    assert "The job requests 2 GPUs; the workers have none" in first(job(RequestGPUs=2), *workers)
    few = slot("c", GPUs=1, TotalSlotGPUs=1)
    assert "The job requests 2 GPUs; the largest slot has 1 GPU" in first(job(RequestGPUs=2), few)


def test_a_request_that_the_submit_file_does_not_have_as_a_number() -> None:
    asked = job(RequestMemory=expression("ifthenelse(MemoryUsage =!= undefined,MemoryUsage,9000)"))
    assert "The job requests 9000 MB of memory" in first(asked, slot("a"))


def test_the_possible_request_is_that_of_the_nearest_worker() -> None:
    other = slot("b", Memory=4000, TotalSlotMemory=4000)
    found = first(job(RequestMemory=16384), slot("a", NODE_IS_HEALTHY=False), other)
    assert "the largest slot has 8192 MB" in found
    assert "Request at most 3968 MB on b (request_memory = 3968)" in found  # slots allot 128 MB at a time


def test_the_condition_of_the_nearest_workers_is_first_and_of_these_the_one_that_excludes_most() -> None:
    far = [slot(f"far{number}", OpSys="OTHER", NODE_IS_HEALTHY=False) for number in range(3)]
    sick, small = slot("sick", NODE_IS_HEALTHY=False), slot("small", Memory=8, TotalSlotMemory=8)
    assert reasons(of(job(), *far, small)) == ["memory"]
    assert reasons(of(job(), *far, sick, small)) == ["unhealthy"]
    assert reasons(of(job(), sick, small)) == ["memory"]  # what the owner of the job can change
    assert reasons(of(job(), *far)) == ["system", "unhealthy"]
    assert reasons(of(job(), *far, slot("fits"))) == ["not-considered"]


def test_projects() -> None:
    found = first(job(ProjectName="TG-ABC124"), slot("a"), slot("b"))
    assert found == (
        'project | a and b accept only jobs with TARGET.ProjectName == "TG-ABC123"; the job has '
        'ProjectName "TG-ABC124". Did you mean TG-ABC123? | Set ProjectName of the job to "TG-ABC123", or '
        "change Start of the workers. | condor_qedit 7.0 ProjectName '\"TG-ABC123\"'"
    )
    assert "a accepts only jobs with" in first(job(ProjectName=None), slot("a"))
    assert "the job has no ProjectName" in first(job(ProjectName=None), slot("a"))
    far = first(job(ProjectName="xyz"), slot("a"))
    assert "Did you mean" not in far
    assert far.endswith("condor_qedit 7.0 ProjectName '\"TG-ABC123\"'")  # the only one


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ('TARGET.ProjectName =?= "A" || TARGET.ProjectName =?= "B"', 'to "A" or "B", or'),
        ('stringListMember(TARGET.ProjectName, "A, B")', 'to "A" or "B", or'),
        ('regexp("^B", TARGET.ProjectName)', "Change the job so that this is true"),
        ('TARGET.ProjectName != "TG-ABC123"', "Change the job so that this is true"),
        ('TARGET.ProjectName == "A" && TARGET.Owner == "bob"', 'to "A", or'),
        ("TARGET.ProjectName == MY.Project", "Change the job so that this is true"),
    ],
)
def test_what_start_accepts(start: str, words: str) -> None:
    found = first(job(), slot("a", Start=expression(start)))
    assert words in found
    assert "condor_qedit" not in found or '"A", or' in words


def test_a_project_that_no_shell_may_see() -> None:
    text = 'TARGET.ProjectName == "a\\"b; rm -rf /"'
    found = of(job(), slot("a", Start=expression(text))).findings[0]
    assert found.command[-1] == '"a\\"b; rm -rf /"'
    assert report.command(found) == 'condor_qedit 7.0 ProjectName \'"a\\"b; rm -rf /"\''


def test_requirements_of_the_job() -> None:
    def required(text: str) -> str:
        return first(job(Requirements=expression(text)), slot("a"), slot("b", OpSysAndVer="Debian13"))

    system = required('TARGET.OpSysAndVer == "Debian12"')
    assert '== "Debian12"; on a and b, OpSysAndVer is undefined or "Debian13"' in system
    assert required("TARGET.HasSingularity").startswith(
        "container | The job requires TARGET.HasSingularity; on a"
    )
    assert "Did you mean OpSysAndVer?" in required('TARGET.OpSysAndVersion == "x"')
    assert "it requires double quotes" in required("TARGET.Nothing == Debian12")
    assert "HAS" not in required("TARGET.HasThing").partition("Did you")[2]
    assert "Requirements of the job are false" in required("false").replace("MY.", "")
    transfer = required("TARGET.FileSystemDomain == MY.FileSystemDomain")
    assert transfer.startswith("file-transfer | ")


def test_states_of_workers() -> None:
    assert first(job(), slot("a", NODE_IS_HEALTHY=False, NODE_STATUS="disk: full")).startswith(
        "unhealthy | a is unhealthy: disk: full."
    )
    drained = slot("a", Draining=True, State="Drained", DrainReason="update", Requirements=False)
    found = first(job(), {key: value for key, value in drained.items() if key != "Start"})
    assert found.startswith("draining | a is draining (update): no job starts there.")
    assert found.endswith("condor_drain -cancel slot1@a")
    assert reasons(of(job(RequestMemory=9999), drained)) == ["memory", "draining"]
    assert first(job(), slot("a", Start=expression("error"))).startswith(
        "start-error | Start of a has an error"
    )
    undefined = slot("a", Start=expression("undefined"))
    assert first(job(), undefined).startswith("start-error")
    assert first(job(), slot("a", Start=False)).startswith("start-false | Start of a is false")
    assert first(job(), slot("a", State="Owner")).startswith(
        "owner | The slots of a are in the state Owner"
    )
    assert first(job(), slot("a", LastHeardFrom=NOW - 3600)).startswith(
        "silent | a has sent no update for 60"
    )
    lifetime = expression("time() < MY.WorkerRetires")
    old = slot("a", Start=lifetime, WorkerRetires=NOW - 10**9, WorkerEnds=NOW + 7200)
    assert first(job(), old, {**old, "Name": "slot1@b", "MyAddress": ""}).startswith(
        "retiring | a and b are retiring (MaxLifetime): only jobs that state a duration and end in time "
        "start there. 2 h are left."
    )


def test_a_worker_that_other_jobs_occupy() -> None:
    part = (slot("a", Cpus=1, Memory=1024), claimed("a", Cpus=3, Memory=7168))
    found = of(job(RequestCpus=2, RequestMemory=2048), *part, slot("b", OpSys="OTHER"))
    assert reasons(found) == ["busy"]
    assert found.findings[0].text == (
        "Other jobs of bob@x occupy a, which would accept the job: the job requests 2048 MB of memory, "
        "and the largest free slot has 1024 MB; the job requests 2 CPUs, and the largest free slot has "
        "1 CPU."
    )
    used_up = (slot("a", Cpus=0), claimed("a", Cpus=4))
    assert reasons(of(job(), *used_up)) == ["busy"]
    assert reasons(of(job(RequestCpus=5), *used_up)) == ["cpus"]
    static = slot("a", SlotType="Static", State="Claimed", RemoteOwner="bob@x")
    assert reasons(of(job(), static)) == ["busy"]
    gpus = slot("a", GPUs=0, TotalSlotGPUs=2)
    assert reasons(of(job(RequestGPUs=1), gpus)) == ["busy"]


def test_two_workers_of_which_the_one_that_fits_is_busy() -> None:
    big, small = slot("big", Cpus=0, TotalSlotCpus=4), slot("small", Cpus=2, TotalSlotCpus=2)
    found = case(job(RequestCpus=3), big, claimed("big", Cpus=4), small)
    shown = "\n".join(lines(found))
    assert (
        "Other jobs of bob@x occupy big, which would accept the job: the job requests 3 CPUs, and none is"
        in (shown)
    )
    assert "  Do first: Wait until a job ends there, or start more workers." in shown
    assert "\n1 of 2      TARGET.Cpus >= RequestCpus     job     RequestCpus 3  Cpus 2" in shown
    assert "\n1 of 2 now  TARGET.Cpus >= RequestCpus     job     RequestCpus 3  Cpus 0" in shown
    assert "2 workers: 0 free for the job, 1 occupied by other jobs, 1 excluded." in shown


@pytest.mark.parametrize("size", [float("-inf"), float("nan"), "many", expression("error")])
def test_sizes_that_are_no_amount(size: Any) -> None:
    wrong = slot("a", Cpus=size, TotalSlotCpus=size)
    assert "the largest slot has 0 CPUs" in first(job(RequestCpus=2), wrong)


def test_states_in_the_table() -> None:
    def condition(**changed: Any) -> str:
        found = of(job(), slot("a", **changed))
        return report.table(found, 1)[1][1]

    assert condition(Draining=True, Requirements=False) == "(the worker is draining)"
    assert condition(State="Owner") == "(the slots are in the state Owner)"
    assert condition(LastHeardFrom=NOW - 3600) == "(the worker is silent)"
    assert condition(SlotType="Static", State="Claimed") == "(the slot is claimed)"


def test_no_conditions_of_a_job_that_does_not_wait() -> None:
    assert of(job(JobStatus=2, RequestCpus=9), slot("a")).rows == ()
    assert of(job(JobStatus=5, RequestCpus=9), slot("a")).rows


def test_a_dynamic_slot_is_not_for_other_jobs() -> None:
    assert reasons(of(job(), slot("a", Cpus=0), claimed("a", State="Unclaimed", Cpus=4))) == ["busy"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"JobStatus": 5, "HoldReason": "disk quota"}, "held | The job is held: disk quota. | Correct"),
        ({"JobStatus": 3, "RemoveReason": "by alice"}, "removed | The job was removed: by alice."),
        ({"JobStatus": 4, "ExitCode": 3}, "completed | The job has completed with exit code 3."),
        (
            {"JobStatus": 2, "RemoteHost": "slot1@a"},
            "running | The job is running on slot1@a (for 60 s). |",
        ),
        ({"JobStatus": 2, "RemoteHost": "slot1@z"}, "which is not one of WorkerGroupName W"),
        (
            {"JobStatus": 6, "RemoteHost": "slot1@a"},
            "transferring | The job is transferring its output on slot1@a",
        ),
        ({"JobStatus": 7}, "suspended | The job is suspended (for 60 s)"),
        (
            {"JobUniverse": 7},
            "universe | The job is of the universe scheduler: it runs on its access point",
        ),
        ({"JobUniverse": 9}, "universe | The job is of the universe grid"),
    ],
)
def test_states_of_jobs(changed: Mapping[str, Any], words: str) -> None:
    assert words in first(job(**changed), slot("a"))


def test_what_the_negotiator_did() -> None:
    assert first(job(), slot("a")).startswith(
        "not-considered | a accepts the job now, but the negotiator has not"
    )
    rejected = job(LastRejMatchTime=NOW - 30, LastRejMatchReason="no match found ")
    assert "accept the job now, but the negotiator rejected it 30 s ago: no match found. |" in (
        first(rejected, slot("a"), slot("b"))
    )
    assert first(job(LastMatchTime=NOW - 3, LastRejMatchTime=NOW - 9), slot("a")).startswith(
        "matched | a accepts"
    )
    again = job(NumShadowStarts=3, LastRemoteHost="slot1_1@a", LastMatchTime=NOW - 3)
    assert "It was started 3 times, the last time on slot1_1@a, and is idle again." in first(
        again, slot("a")
    )


def test_the_pool() -> None:
    none = Pool("cm", "W", "", ("ap",), "ap")
    assert reasons(of(job(), slot("a"), pool=none)) == ["no-negotiator", "not-considered"]
    elsewhere = Pool("cm", "W", "1", ("ap1", "ap2"), "ap")
    found = of(job(), slot("a", OpSys="OTHER"), pool=elsewhere)
    assert reasons(found) == ["not-in-pool", "system"]
    assert "cm knows no access point ap: its negotiator never considers the job. It knows ap1 and ap2." in (
        found.findings[0].text
    )
    nobody = Pool("cm", "WorkerGroupName W", "1", ("ap",), "ap", "Did you mean V?")
    assert first(job(), pool=nobody).startswith(
        "no-workers | cm has no worker with WorkerGroupName W. Did you mean V?"
    )


def lines(asked: Case) -> list[str]:
    found = verdict.of(asked)
    rows = report.table(found, len(asked.workers))
    return [
        report.title(asked), *report.answer(found), *columns.table(rows, 0), verdict.summary(asked.workers),
        *report.not_judged(asked),
    ]  # fmt: skip


def test_the_table() -> None:
    asked = case(
        job(RequestMemory=9999, ProjectName="x"), slot("a"), slot("b", Memory=8, TotalSlotMemory=8)
    )
    printed = "\n".join(lines(asked))
    assert "Job 7.0 of alice, idle for 60 s" in printed
    rows = [line.split("  ") for line in printed.splitlines() if line.startswith(("2 of 2", "1 of 2"))]
    assert [[cell.strip() for cell in row if cell.strip()] for row in rows] == [
        ["2 of 2", "TARGET.Memory >= RequestMemory", "job", "RequestMemory 9999", "Memory 8192, 8"],
        ["2 of 2", "TARGET.RequestMemory <= MY.Memory", "worker", "RequestMemory 9999", "Memory 8192, 8"],
        ["2 of 2", 'TARGET.ProjectName == "TG-ABC123"', "worker", 'ProjectName "x"', "-"],
    ]
    assert "2 workers: 0 free for the job, 0 occupied by other jobs, 2 excluded." in printed


def test_json() -> None:
    asked = case(job(RequestCpus=9), slot("a"))
    found = json.loads(json.dumps(report.as_json(asked, verdict.of(asked), "c")))
    assert (found["job"], found["reason"], found["access_point"]) == ("7.0", "cpus", "ap")
    assert found["findings"][0]["command"] == "condor_qedit 7.0 RequestCpus 4"
    [row] = found["conditions"]
    assert row["clauses"][0]["attributes"][1] == {"of": "job", "name": "RequestCpus", "values": ["9"]}
    assert found["workers"][0]["obstacles"] == ["cpus"]


def test_limits_that_are_not_judged() -> None:
    asked = case(job(ConcurrencyLimits="licence", JobUniverse=11), slot("a"))
    assert "concurrency limits (licence)" in report.not_judged(asked)
    assert "the dedicated scheduler of parallel jobs" in report.not_judged(asked)


TEXTS = ("error", "{ 1, [ a = 2 ] }", "undefined", "A B")
WRONG = st.sampled_from([HOSTILE, 7, -1.5, True, float("inf"), float("nan"), None, *map(expression, TEXTS)])


@given(
    st.dictionaries(
        st.sampled_from([*slot("a"), "RemoteOwner", "Draining", "DrainReason"]), WRONG, max_size=6
    ),
    st.dictionaries(st.sampled_from([*job().data, "HoldReason", "LastRejMatchReason"]), WRONG, max_size=4),
)
def test_any_ads_are_shown_harmlessly(of_slot: dict[str, Any], of_job: dict[str, Any]) -> None:
    """Anybody who may advertise may send anything."""
    changed = {name: value for name, value in of_slot.items() if value is not None}
    asked = case(job(**of_job), slot("b"), {**slot("a"), **changed})
    for line in lines(asked):
        assert line.isprintable(), line
    json.dumps(report.as_json(asked, verdict.of(asked), "c"))
