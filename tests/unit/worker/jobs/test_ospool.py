"""What a worker of the OSPool advertises, from its tests, its file and its cloud."""

from __future__ import annotations

import json
from typing import Any

import pytest
from worker_runtime.configuration import condor_config, ospool_config
from worker_runtime.configuration.values import problem_with
from worker_runtime.configuration.worker_file import values_by_setting
from worker_runtime.lifecycle import report
from worker_runtime.ospool import cached_checks, capabilities, distribution, pilot_attributes
from worker_runtime.ospool.cached_checks import CachedCheck, Result
from worker_runtime.system.timed_checks import Check

from bakery.runtime import data
from tests.unit.worker.conftest import KEYS, OSG

POOL: dict[str, Any] = json.loads((data.WORKER / "ospool/usr/lib/worker-bakery/ospool.json").read_text())
WITH = OSG._replace(ospool=POOL)
VALUES = values_by_setting({"WorkerGroupName": "Mine", "Start": 'TARGET.ProjectName == "TG-ABC123"'}, KEYS)
IU = {"CloudProvider": "openstack", "CloudRegion": "IU"}
NOW = 1_700_000_000


def results(**bad: str) -> dict[str, Result]:
    """Everything is fine, but what is said."""
    names = [*(f"port {port}" for port in POOL["ports"]), *capabilities.PROGRAMS, "MPI"]
    names += ["containers", "SIF images", "images of a registry"]
    wrong = {name.replace("_", " ") if name[0].islower() else name: why for name, why in bad.items()}
    return {name: Result(name not in wrong, wrong.get(name, "Python 3.9.2"), NOW) for name in names}


# --- Names ----------------------------------------------------------------------------------


def test_a_site_is_not_what_a_worker_is_found_by() -> None:
    assert (
        report.group_name(WITH, ospool_config.with_default_names(WITH, VALUES, IU))
        == VALUES["WorkerGroupName"]
    )


def test_names_are_of_the_cloud_and_the_project_unless_they_are_given() -> None:
    found = ospool_config.with_default_names(WITH, VALUES, IU)
    assert [found[name] for name in ("SiteName", "ResourceName", "Country")] == [
        "openstack-IU", "openstack-IU-TG-ABC123", "US",
    ]  # fmt: skip
    given = {**VALUES, "SiteName": "My Site", "ResourceName": "mine", "Country": "DE"}
    assert ospool_config.with_default_names(WITH, given, IU) == given
    assert (
        ospool_config.with_default_names(WITH, {**VALUES, "Start": "True"}, {})["ResourceName"]
        == "cloud-Mine"
    )
    assert ospool_config.with_default_names(WITH, VALUES, {})["Country"] == ""
    assert ospool_config.with_default_names(OSG, VALUES, IU) == VALUES  # an image without the role
    assert ospool_config.with_default_names(WITH, {}, IU) == {}  # a file that could not be read


@pytest.mark.parametrize("hostile", ['a"b', "a\\b", "$(SECRET)", "é" * 80, "a,b", " x ", "-", "\t"])
def test_a_name_that_a_cloud_gives_can_always_be_one(hostile: str) -> None:
    cloud = {"CloudProvider": hostile, "CloudRegion": hostile}
    found = ospool_config.with_default_names(
        WITH, {**VALUES, "WorkerGroupName": hostile, "Start": "True"}, cloud
    )
    assert problem_with("site", found["SiteName"]) is None
    assert problem_with("site", found["ResourceName"]) is None


@pytest.mark.parametrize(
    ("region", "country"),
    [
        ("IU", "US"),
        ("us-east-1", "US"),
        ("ca-central-1", "CA"),
        ("eu-west-1", ""),
        ("", ""),
        ("RegionOne", ""),
    ],
)
def test_a_country_is_said_where_the_region_tells(region: str, country: str) -> None:
    assert ospool_config.country(region) == country


@pytest.mark.parametrize(
    ("kind", "value", "is_good"),
    [
        ("site", "SDSC-PRP", True),
        ("site", "My Site 2.0", True),
        ("site", "a,b", False),
        ("site", 'a"b', False),
        ("site", " a", False),
        ("site", "a" * 64, False),
        ("country", "US", True),
        ("country", "us", False),
        ("country", "USA", False),
    ],
)
def test_what_may_be_a_name(kind: str, value: str, is_good: bool) -> None:
    assert (problem_with(kind, value) is None) == is_good


# --- The configuration ---------------------------------------------------------------------------


def attributes(**changed: str) -> dict[str, str]:
    values = {**ospool_config.with_default_names(WITH, VALUES, IU), **changed}
    return condor_config.attributes(WITH, values, condor_config.Machine(1_000_000, IU))


def test_the_slots_say_the_names_the_end_and_which_pool_it_is() -> None:
    found = attributes(MaxLifetime="40000")
    assert found["GLIDEIN_Site"] == '"openstack-IU"' and found["GLIDEIN_Country"] == '"US"'
    assert (
        found["GLIDEIN_ToDie"] == found["WorkerEnds"]
        and found["GLIDEIN_ToRetire"] == found["WorkerRetires"]
    )
    assert (found["Is_ITB_Site"], found["OSPool"]) == ("False", "False")
    production = attributes(CentralManager="cm-1.ospool.osg-htc.org,cm-2.ospool.osg-htc.org", Start="True")
    assert (production["Is_ITB_Site"], production["OSPool"]) == ("False", "True")
    itb = attributes(CentralManager="cm-1.ospool-itb.osg-htc.org", Start="True")
    assert itb["Is_ITB_Site"] == "True" and "OSPool" not in itb
    assert "GLIDEIN_ToDie" not in itb
    assert "Is_ITB_Site" not in condor_config.attributes(OSG, VALUES, condor_config.Machine(1, {}))


def test_the_guards_stand_beside_the_site_s_and_can_be_switched_off() -> None:
    place = condor_config.Machine(1_000_000, IU)
    text = condor_config.render(WITH, VALUES, place)
    assert ' && ( $(WORKER_GUARDS) ) && ( $(WORKER_POOL_GUARDS) ) && ( TARGET.ProjectName == "TG' in text
    off = condor_config.render(WITH, {**VALUES, "PoolGuards": "no"}, place)
    assert "WORKER_POOL_GUARDS" not in off + condor_config.render(OSG, VALUES, place)
    read = condor_config.expected_values(WITH, VALUES, place, ["site", "a || b"])["START"]
    assert read.endswith('( site ) && ( a || b ) && ( TARGET.ProjectName == "TG-ABC123" )')


# --- What was tried ------------------------------------------------------------------------------


def test_nothing_is_said_to_be_there_that_was_not_tried() -> None:
    fine = {
        name: result for name, result in results().items() if "image" not in name and name != "containers"
    }
    found = pilot_attributes.attributes(fine, POOL, "OK")
    for name in ("HAS_SINGULARITY", "SINGULARITY_CAN_USE_SIF", "SINGULARITY_CAN_USE_REGISTRY"):
        assert found[name] == "False"
    assert {value for name, value in found.items() if name.startswith("HAS_CVMFS_")} == {"False"}
    assert sum(name.startswith("HAS_CVMFS_") for name in found) == 31


def test_containers_that_do_not_run_make_their_images_useless() -> None:
    found = pilot_attributes.attributes(results(containers="no /dev/fuse"), POOL, "OK")
    assert (found["HAS_SINGULARITY"], found["SINGULARITY_CAN_USE_SIF"]) == ("False", "False")
    assert found["OSG_NODE_WARNINGS"] == '"containers: no /dev/fuse"'
    well = pilot_attributes.attributes(results(), POOL, "OK")
    assert (well["HAS_SINGULARITY"], well["SINGULARITY_CAN_USE_SIF"]) == ("True", "True")
    assert "OSG_NODE_WARNINGS" not in well and well["OUTBOUND_FIREWALL"] == "False"
    assert well["PYTHON3_VERSION"] == '"3.9.2"'


def test_one_closed_port_is_a_firewall() -> None:
    found = pilot_attributes.attributes(results(port_1094="timed out"), POOL, "OK")
    assert (found["PORT_1094"], found["PORT_80"], found["OUTBOUND_FIREWALL"]) == ("False", "True", "True")


def test_our_health_is_told_in_their_words() -> None:
    found = pilot_attributes.attributes(
        results(MPI="none"), POOL, "load: 300 over 15 minutes, on 4 CPUs; clock: late"
    )
    assert found["OSG_NODE_VALIDATED"] == "MY.NODE_IS_HEALTHY =?= True"
    assert found["OSG_NODE_WARNINGS"] == '"load: 300 over 15 minutes, on 4 CPUs; clock: late"'
    assert found["HasExcessiveLoad"] == "True"
    assert pilot_attributes.attributes(results(), POOL, "")["OSG_NODE_WARNINGS"] == '"not checked yet"'


@pytest.mark.parametrize(
    ("told", "there", "revision", "errors", "since"),
    [
        ([77, 0, 0], "True", "77", "0", "-1"),
        ([77, 3, NOW - 60], "False", "77", "3", "60"),
        ([77, 3, NOW - 5 * 3600], "True", "77", "3", "18000"),
        ([None, None, None], "True", "0", "-1", "-1"),  # mounted by somebody else, over NFS
    ],
)
def test_a_repository_is_there_unless_it_had_errors_of_late(
    told: list[int | None], there: str, revision: str, errors: str, since: str
) -> None:
    found = pilot_attributes.repository_attributes("x_y", Result(True, json.dumps(told), NOW))
    assert found == {
        "HAS_CVMFS_x_y": there, "CVMFS_x_y_REVISION": revision, "CVMFS_x_y_NIOERR": errors,
        "CVMFS_x_y_LAST_IOERR": since,
    }  # fmt: skip
    assert pilot_attributes.repository_attributes("x_y", Result(False, "no", NOW)) == {
        "HAS_CVMFS_x_y": "False"
    }


def test_a_repository_of_one_s_own_is_told_of_as_well() -> None:
    more = {"CVMFS my-data.example.org": Result(True, "[1, 0, 0]", NOW)}
    found = pilot_attributes.attributes({**results(), **more}, POOL, "OK")
    assert found["HAS_CVMFS_my_data_example_org"] == "True"


@pytest.mark.parametrize(
    ("mounts", "there"),
    [
        ("/etc/auto.cvmfs /cvmfs autofs rw 0 0\n", True),
        ("x / ext4 rw 0 0\ncvmfs2 /cvmfs/sft.cern.ch fuse ro 0 0\n", True),
        ("x /cvmfs-cache ext4 rw 0 0\n", False),
        ("", False),
    ],
)
def test_cvmfs_is_asked_for_only_where_something_is_mounted(mounts: str, there: bool) -> None:
    assert capabilities.is_mounted(mounts) == there


def test_what_is_shown_is_ascii_one_a_line() -> None:
    assert capabilities.format_attributes({"B": '"a\nC = é"', "A": "True"}) == 'A = True\nB = "a?C = ?"\n'


# --- How long it holds ---------------------------------------------------------------------------


def test_good_and_bad_answers_hold_for_times_of_their_own() -> None:
    test = CachedCheck(Check("x", 1.0, lambda: None), keep=100, again=10)

    def is_due(result: Result | None, now: int) -> bool:
        return bool(cached_checks.due([test], {"x": result} if result else {}, now))

    assert is_due(None, NOW)
    assert not is_due(Result(True, "", NOW), NOW + 99)
    assert is_due(Result(True, "", NOW), NOW + 100)
    assert not is_due(Result(False, "no", NOW), NOW + 9)
    assert is_due(Result(False, "no", NOW), NOW + 10)
    assert is_due(Result(True, "", NOW), NOW - 1)  # a clock that was set back


# --- The system ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ('ID="almalinux"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n', "RHEL 9"),
        ('ID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="7"\n', "RHEL 7"),
        ('ID="rhel"\nID_LIKE="fedora"\nVERSION_ID="10.0"\n', "RHEL 10"),
        ('ID=debian\nVERSION_ID="13"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n', "DEBIAN 13"),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', "UBUNTU 24"),
        ("ID=fedora\nVERSION_ID=42\n", "FEDORA 42"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\nVERSION_ID="15.6"\n', "SUSE 15"),
        ("ID=arch\n", None),
        ("ID=debian\n", None),  # sid has no version
        ("", None),
    ],
)
def test_the_system_s_name(text: str, system: str | None) -> None:
    assert distribution.system_name(distribution.os_release(text)) == system


def test_kernel_and_processor() -> None:
    assert distribution.kernel_number("6.1.42-cloud-amd64") == 60142
    assert distribution.kernel_number("3.10.0-1160.el7.x86_64") == 31000
    assert distribution.kernel_number("odd") is None
    cpuinfo = "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_vnni cx16 f16c\n\nflags\t: avx512bw\n"
    assert set(distribution.cpu_flags(cpuinfo)) == {
        "HAS_avx512f",
        "HAS_avx512_vnni",
        "HAS_cx16",
        "HAS_f16c",
    }
    assert distribution.cpu_flags("Features : fp asimd\n") == {}
