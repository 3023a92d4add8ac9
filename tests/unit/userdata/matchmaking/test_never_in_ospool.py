"""The requirements of the OSPool, and a Start that no job there can fulfil."""

from __future__ import annotations

import pytest

from bakery.userdata import ospool, start
from bakery.userdata.matchmaking.attributes import JOB, MACHINE
from bakery.userdata.matchmaking.language import references
from bakery.userdata.matchmaking.matching import Pair, answer, parse


def names(text: str, *, in_ospool: bool = True) -> list[str]:
    return [one.id for one in start.findings(text, conditions=(text,), ospool=in_ospool)]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("TARGET.ProjectName =?= undefined", "ProjectName"),
        ('TARGET.ProjectName == ""', "ProjectName"),
        ('TARGET.Owner == "alice" && TARGET.ITB_Sites =?= True', "ITB_Sites"),
    ],
)
def test_a_start_that_no_job_of_the_ospool_fulfils(text: str, part: str) -> None:
    [one] = [one for one in start.findings(text, conditions=(text,), ospool=True) if "ospool" in one.id]
    assert (one.id, one.severity) == ("never-in-ospool", "warning")
    assert part in one.message
    assert "never-in-ospool" not in names(text, in_ospool=False)


@pytest.mark.parametrize(
    "text",
    [
        'TARGET.ProjectName == "TG-A"',
        'TARGET.Owner == "alice"',
        "TARGET.RequestMemory > 100000",
        'stringListMember("MySite", TARGET.DESIRED_Sites)',
        'TARGET.JobDurationCategory =?= "Long"',
        "TARGET.Want_MPI =?= True",
        'HAS_CVMFS_oasis_opensciencegrid_org == True && OSGVO_OS_STRING == "RHEL 9" && Owner == "alice"',
        "MY.HAS_CVMFS_sft_cern_ch =?= True && TARGET.SingularityImage isnt undefined",
        'GLIDEIN_Site == "openstack-IU" && MY.OSG_NODE_VALIDATED && !MY.OUTBOUND_FIREWALL && Owner == "a"',
        'HAS_avx512f =?= True && PORT_1094 && Owner == "alice" && CVMFS_sft_cern_ch_REVISION > 7',
    ],
)
def test_a_start_that_jobs_of_the_ospool_fulfil(text: str) -> None:
    assert {"never-in-ospool", "unknown-attribute", "accepts-nobody"}.isdisjoint(names(text))


def test_the_guards_refer_to_known_attributes() -> None:
    assert set(ospool.guards()) == {
        "PROJECT", "DESIRED", "UNDESIRED", "LONG", "MPI", "SIF", "REGISTRY", "ITB"
    }  # fmt: skip
    for guard in ospool.guards().values():
        parse(guard)
        for one in references(guard):
            assert one.name in {"my": MACHINE, "target": JOB}[one.scope], one


@pytest.mark.parametrize(
    ("name", "job", "worker", "accepted"),
    [
        ("PROJECT", {}, {}, False),
        ("PROJECT", {"ProjectName": ""}, {}, False),
        ("PROJECT", {"ProjectName": "TG-A"}, {}, True),
        ("DESIRED", {}, {"GLIDEIN_Site": "Here"}, True),
        ("DESIRED", {"DESIRED_Sites": "There,Here"}, {"GLIDEIN_Site": "Here"}, True),
        ("DESIRED", {"DESIRED_Sites": "There, Here"}, {"GLIDEIN_Site": "Here"}, True),
        ("DESIRED", {"DESIRED_Sites": "There"}, {"GLIDEIN_Site": "Here"}, False),
        ("DESIRED", {"DESIRED_Sites": "There"}, {}, False),
        ("UNDESIRED", {"UNDESIRED_Sites": "There,Here"}, {"GLIDEIN_Site": "Here"}, False),
        ("UNDESIRED", {"UNDESIRED_Sites": "There"}, {"GLIDEIN_Site": "Here"}, True),
        ("UNDESIRED", {}, {}, True),
        ("LONG", {"JobDurationCategory": "Long"}, {}, True),
        ("LONG", {"JobDurationCategory": "Long"}, {"WorkerEnds": 1}, False),
        ("LONG", {"JobDurationCategory": "Long"}, {"WorkerEnds": 9_999_999_999}, True),
        ("LONG", {"JobDurationCategory": "Medium"}, {"WorkerEnds": 1}, True),
        ("MPI", {"Want_MPI": True}, {}, False),
        ("MPI", {"Want_MPI": True}, {"Has_MPI": True}, True),
        ("MPI", {}, {}, True),
        ("SIF", {"SingularityImage": "x.sif"}, {}, False),
        ("SIF", {"SingularityImage": "x.sif"}, {"SINGULARITY_CAN_USE_SIF": True}, True),
        ("SIF", {"SingularityImage": "/cvmfs/x"}, {}, True),
        ("REGISTRY", {"SingularityImage": "docker://x"}, {}, False),
        ("REGISTRY", {"SingularityImage": "docker://x"}, {"SINGULARITY_CAN_USE_REGISTRY": True}, True),
        ("REGISTRY", {}, {}, True),
        ("ITB", {}, {"Is_ITB_Site": False}, True),
        ("ITB", {"ITB_Sites": True}, {"Is_ITB_Site": False}, False),
        ("ITB", {"ITB_Sites": True}, {"Is_ITB_Site": True}, True),
        ("ITB", {}, {"Is_ITB_Site": True}, False),
    ],
)  # fmt: skip
def test_each_guard_accepts_and_rejects(
    name: str, job: dict[str, object], worker: dict[str, object], accepted: bool
) -> None:
    answered = answer(parse(ospool.guards()[name]), Pair(job=job, worker=worker))
    assert answered == ("yes" if accepted else "no")


@pytest.mark.parametrize(
    ("managers", "expected"),
    [
        ("flock.opensciencegrid.org", True),
        ("cm-1.ospool.osg-htc.org,cm-2.ospool.osg-htc.org", True),
        ("cm-1.ospool-itb.osg-htc.org", False),
        ("pool.example.org:9618", False),
    ],
)
def test_the_production_pool_is_recognized(managers: str, expected: bool) -> None:
    assert ospool.is_pool(managers) == expected
