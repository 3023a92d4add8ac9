"""Ids of jobs, files with their ads, and why a pool gives no answer, in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakery.status.ask import Question
from bakery.status.why import job_ads, query
from bakery.status.why.job_ads import Job, JobId
from bakery.status.why.query import Wanted
from provisioner.errors import BadInput, Unreachable

# As condor_q -l of HTCondor 23.9.6 prints two jobs.
TEXT = r"""
ClusterId = 12
GlobalJobId = "ap.example.edu#12.0#1795920368"
JobStatus = 5
Owner = "alice"
ProcId = 0
RemoteWallClockTime = 0.0
Requirements = (TARGET.Arch == "X86_64") && (TARGET.Memory >= RequestMemory) && (TARGET.X =?= "a\b")
RequestMemory = ifthenelse(MemoryUsage =!= undefined,MemoryUsage,1)
Err = "C:\new\table \"x\""

ClusterId = 12
JobStatus = 1
ProcId = 1
"""


def test_ids() -> None:
    assert job_ads.parse_id("12.3") == JobId(12, 3)
    assert (str(job_ads.parse_id("12")), str(JobId(12, 3))) == ("12", "12.3")


@pytest.mark.parametrize(
    "text", ["", "x", "1.", ".1", "1.2.3", "-1", "0", "99999999999", "1 || true", "\uff11"]
)
def test_ids_that_are_none(text: str) -> None:
    with pytest.raises(BadInput, match="JOB is not the id of a job"):
        job_ads.parse_id(text)


def test_a_file() -> None:
    first, second = job_ads.parse(TEXT)
    job = Job(first)
    assert (job.id, job.status, job.access_point) == ("12.0", job_ads.HELD, "ap.example.edu")
    assert job.number("RequestMemory") == 1
    assert job.text("Err") == r'C:\new\table "x"'
    assert first["Requirements"]["expression"].startswith('(TARGET.Arch == "X86_64") && (TARGET.Memory')
    assert Job(second).access_point == ""


def test_the_job_that_is_meant() -> None:
    found = job_ads.parse(TEXT)
    assert Job(job_ads.choose(found, None)).id == "12.1"  # the idle one
    assert Job(job_ads.choose(found, JobId(12))).id == "12.1"
    assert Job(job_ads.choose(found, JobId(12, 0))).id == "12.0"
    with pytest.raises(BadInput, match=r"no ad of the job 13. It has: 12.0, 12.1."):
        job_ads.choose(found, JobId(13))
    with pytest.raises(BadInput, match="condor_q -l"):
        job_ads.choose([], None)
    with pytest.raises(BadInput, match="4 others"):
        job_ads.choose([{"ClusterId": 1, "ProcId": number} for number in range(9)], JobId(2))


@pytest.mark.parametrize(
    "line", ["no ad", "A = ", "A = 1 +", "= 1", "A = 1; B = 2 ]", '[{"ClusterId": 1}]']
)
def test_lines_that_are_no_attributes(line: str) -> None:
    with pytest.raises(BadInput, match="Line 2 of the job's ad is not an attribute"):
        job_ads.parse(f"A = 1\n{line}\n")


@given(st.text("Ab =\"\\'[]{};&|1\n\x00\x1b-"))
def test_any_file_is_an_ad_or_an_error(text: str) -> None:
    try:
        job_ads.parse(text)
    except BadInput as error:
        assert "\x1b" not in str(error)


def of(answer: dict[str, object], schedd: str = "") -> str:
    question = Question("cm.example", "", "true")
    error = query.error_of(question, Wanted(JobId(12, 0), schedd), answer, "")
    assert isinstance(error, (BadInput, Unreachable))
    return f"{type(error).__name__}: {error}"


def test_no_answer() -> None:
    assert of({"failed": "job", "names": ["ap"]}).startswith(
        "BadInput: The queue and the history of ap have no job 12.0."
    )
    denied = of({"failed": "schedd", "names": ["ap\x1b"]})
    assert denied.startswith("Unreachable: The access point ap\\x1b does not answer, or denies the query.")
    assert "--job-ad FILE" in denied
    several = of({"failed": "schedds", "names": ["ap1", "ap2"]})
    assert several.endswith(
        "several access points: ap1 and ap2. Choose that of the job with --schedd NAME."
    )
    assert "Did you mean ap1?" in of({"failed": "schedds", "names": ["ap1", "b"]}, schedd="ap11")
    assert "It knows b and c." in of({"failed": "schedds", "names": ["b", "c"]}, schedd="x")
    assert "knows no access point" in of({"failed": "schedds", "names": []})
    assert "is not a collector" in of({"failed": "collector"})
