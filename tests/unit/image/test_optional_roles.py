from __future__ import annotations

import itertools
import json
import shlex
from pathlib import Path

import pytest

from bakery.bake import lookup
from bakery.bake.options import Options, refuse_tokens
from bakery.commands import bake
from bakery.engines.chroot.engine import Repositories
from bakery.image import bases, cvmfs, recipe
from bakery.runtime import mirror
from bakery.store.store import Store
from provisioner.actions import Action, Put, Run
from provisioner.errors import BadInput
from provisioner.events import Silent
from provisioner.plan import Plan, PlannedStep
from provisioner.process import run
from provisioner.roles import CvmfsClient
from provisioner.roles.cvmfs import settings

BASE = bases.find("debian13")


def planned(*optional: str) -> Plan:
    client = CvmfsClient(("a.example.org",))
    return recipe.plan(BASE, "osg", optional=optional, client=client)


def roles_of(plan: Plan) -> list[str]:
    return list(dict.fromkeys(step.role for step in plan.steps))


def test_they_follow_condor_in_a_fixed_order() -> None:
    both = ["base", "condor", "apptainer", "cvmfs", "osg_worker", "seal"]
    assert roles_of(planned("cvmfs", "apptainer", "cvmfs")) == both
    assert planned("cvmfs", "apptainer").id == planned("apptainer", "cvmfs").id


def test_each_selection_has_its_own_id_and_shares_earlier_steps() -> None:
    plans = [planned(*names) for names in ((), ("apptainer",), ("cvmfs",), ("apptainer", "cvmfs"))]
    assert len({plan.id for plan in plans}) == 4
    for one, other in itertools.pairwise(plans):
        same = {a.role for a, b in zip(one.steps, other.steps, strict=False) if a.id == b.id}
        assert {"base", "condor"} <= same


def test_without_optional_roles_the_plan_does_not_change() -> None:
    assert planned().id == recipe.plan(BASE, "osg").id
    assert roles_of(planned()) == ["base", "condor", "osg_worker", "seal"]


def test_ospool_includes_apptainer_and_cvmfs_if_the_base_has_them() -> None:
    def chosen(base: str, *, boots: bool = True, optional: tuple[str, ...] = ("ospool",)) -> list[str]:
        client = cvmfs.client({"ospool"}, None, None, None)
        planned = recipe.plan(
            bases.find(base, "x86_64"), "osg", optional=optional, client=client, boots=boots
        )
        return [role for role in roles_of(planned) if role in recipe.OPTIONAL]

    assert chosen("almalinux9") == ["apptainer", "cvmfs", "ospool"]
    assert chosen("debian12") == ["cvmfs", "ospool"]
    assert chosen("debian13") == ["ospool"]
    assert chosen("debian13", optional=("ospool", "apptainer")) == ["apptainer", "ospool"]
    assert chosen("almalinux9", boots=False) == ["apptainer", "ospool"]
    assert cvmfs.client({"ospool"}, None, None, None).repositories[0] == "oasis.opensciencegrid.org"
    assert cvmfs.client({"ospool"}, "a.example.org", None, None).repositories == ("a.example.org",)
    assert recipe.missing_ospool_roles(["ospool"], planned("ospool", "apptainer")) == ["cvmfs"]
    assert recipe.missing_ospool_roles(["ospool"], planned("ospool", "apptainer", "cvmfs")) == []
    assert recipe.missing_ospool_roles([], planned()) == []
    with pytest.raises(BadInput, match="of the kind osg"):
        recipe.plan(BASE, "prominence", optional=["ospool"])


def test_the_configuration_of_cvmfs_is_part_of_the_id() -> None:
    other = CvmfsClient(("a.example.org",), quota=9000)
    assert recipe.plan(BASE, "osg", optional=["cvmfs"], client=other).id != planned("cvmfs").id


def test_sources_are_no_part_of_a_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sources = tmp_path / "x.sources"
    sources.write_text("Types: deb\nURIs: http://r.invalid/x\nSuites: sid\nComponents: main\n")
    argv = ["--dry-run", "--json", "--with", "apptainer"]
    assert bake.main(argv) == 0
    first = json.loads(capsys.readouterr().out)
    assert bake.main([*argv, "--apt-source", str(sources)]) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert first["id"] == planned("apptainer").id


def test_additional_sources_do_not_replace_other_sources() -> None:
    """Ubuntu uses its own definitions in addition to the sources for an optional role."""
    ubuntu, debian = Repositories("noble", "", "more"), Repositories("trixie", "ours", "more")
    assert [ubuntu.of("condor"), ubuntu.of("apptainer")] == ["", "more"]
    assert [debian.of("condor"), debian.of("apptainer")] == ["ours", "ours\nmore"]
    assert Repositories("noble", "").of("apptainer") == ""


def test_options_without_effect_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no optional role docker"):
        planned("docker")
    options = Options(apt_sources=(tmp_path / "x.sources",))
    with pytest.raises(BadInput, match="--apt-source requires an optional role"):
        lookup.bake(options, Store(tmp_path), Silent())
    assert list(tmp_path.iterdir()) == []


def test_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert bake.main(["--list-roles", "--json"]) == 0
    assert {row["name"] for row in json.loads(capsys.readouterr().out)} == set(recipe.OPTIONAL)
    assert bake.main(["--list-roles"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == list(recipe.OPTIONAL)
    with pytest.raises(SystemExit):
        bake.main(["--help"])
    assert f"{{{','.join(recipe.OPTIONAL)}}}" in capsys.readouterr().out


def test_the_settings_are_quoted_for_the_shell() -> None:
    client = CvmfsClient(("a.example.org", "b.example.org"), "http://p:3128|http://q:3128;DIRECT", 9000)
    assert shlex.split(settings(client)) == [
        "CVMFS_REPOSITORIES=a.example.org,b.example.org",
        "CVMFS_QUOTA_LIMIT=9000",
        "CVMFS_HTTP_PROXY=http://p:3128|http://q:3128;DIRECT",
    ]
    assert "CVMFS_CLIENT_PROFILE='single'\n" in settings(CvmfsClient(("a.example.org",)))


def test_the_options_of_cvmfs() -> None:
    given = cvmfs.client({"cvmfs"}, " a.example.org, b.example.org,", "auto;DIRECT", 2000)
    assert given == CvmfsClient(("a.example.org", "b.example.org"), "auto;DIRECT", 2000)
    assert cvmfs.client({"cvmfs"}, "a.example.org", None, None).quota == 4000
    assert cvmfs.client((), None, None, None) == CvmfsClient()


@pytest.mark.parametrize(
    ("wanted", "repositories", "proxy", "quota", "says"),
    [
        (False, "a.example.org", None, None, "--with cvmfs"),
        (False, None, None, 0, "--with cvmfs"),
        (True, None, None, None, "--cvmfs-repositories"),
        (True, " , ", None, None, "--cvmfs-repositories"),
        (True, "atlas", None, None, "full names"),
        (True, "a.example.org'; reboot; '", None, None, "full names"),
        (True, "a.example.org\nb", None, None, "full names"),
        (True, "../etc", None, None, "full names"),
        (True, "a.example.org", "$(reboot)", None, "CVMFS_HTTP_PROXY"),
        (True, "a.example.org", "http://p'", None, "CVMFS_HTTP_PROXY"),
        (True, "a.example.org", "http://me:hunter2@p", None, "CVMFS_HTTP_PROXY"),
        (True, "a.example.org", "", None, "CVMFS_HTTP_PROXY"),
        (True, "a.example.org", None, 999, "at least 1000"),
    ],
)
def test_values_unsafe_for_the_shell_are_refused(
    wanted: bool, repositories: str | None, proxy: str | None, quota: int | None, says: str
) -> None:
    with pytest.raises(BadInput, match=says.replace("$", r"\$")):
        cvmfs.client({"cvmfs"} if wanted else (), repositories, proxy, quota)


@pytest.mark.parametrize(
    "tail",
    [
        "E: Unable to locate package apptainer",
        "Package apptainer is not available, but is referred to by another package.\n"
        "E: Package 'apptainer' has no installation candidate",
    ],
)
def test_an_unavailable_package_is_bad_input(tail: str) -> None:
    error = run.failure(["apt-get", "install", "apptainer"], 100, tail)
    assert isinstance(error, BadInput)
    assert "the package apptainer." in error.message
    assert "--apt-source" in error.hint


def test_the_release_of_the_base_is_preferred() -> None:
    entries = mirror.preferences("trixie").split("\n\n")
    assert [entry.splitlines()[1] for entry in entries] == [
        f"Pin: release n=trixie{suite}" for suite in ("", "-updates", "-security")
    ]


SECRET = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ3b3JrZXIifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (Put("/etc/x", f"token={SECRET}\n".encode(), 0o600), "/etc/x contains a token"),
        (Run(("condor_store_token", SECRET)), "A command of condor_store_token contains a token"),
    ],
)
def test_a_token_in_a_plan_is_refused_and_not_shown(action: Action, message: str) -> None:
    step = PlannedStep("base", "write", (action,), "0" * 64)
    with pytest.raises(BadInput, match=message) as caught:
        refuse_tokens(Plan("debian13", "0" * 64, "osg", (step,)))
    assert SECRET not in str(caught.value)
