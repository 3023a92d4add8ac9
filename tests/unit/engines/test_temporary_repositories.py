"""Temporary repositories on a recorded machine: which files are written, with which content."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bakery.engines.chroot.engine import Repositories
from bakery.engines.packer import build_files, guest
from bakery.engines.packer.guest import Task
from bakery.engines.packer.temporary_repositories import TemporaryRepositories
from bakery.image import recipe
from bakery.runtime import mirror
from provisioner.actions import Put, Run
from provisioner.errors import BadInput
from provisioner.events import Silent
from provisioner.plan import Plan
from provisioner.targets import OnLine
from provisioner.targets.recorder import Recorder
from tests import golden_plans

MIRROR, GATEWAY = "http://127.0.0.1:8080/htcondor/", "http://10.0.2.2:8080/htcondor/"
BASEOS = "[baseos]\nname=BaseOS\nmirrorlist=https://mirrors.example.org/baseos\ngpgcheck=1\n"
DNF = "[main]\ngpgcheck=1\nreposdir=/elsewhere\n"
FOLDER = "/run/worker-bakery"


class Machine(Recorder):
    """A recorder with files, which it prints for our script as the shell of a machine would."""

    def __init__(self, files: Mapping[str, str]) -> None:
        super().__init__()
        self.files = files

    def run(self, argv: tuple[str, ...], on_line: OnLine) -> None:
        super().run(argv, on_line)
        if argv[-1].startswith("set -- "):
            patterns = argv[-1].splitlines()[0].split()[2:]
            for path, text in self.files.items():
                if any(Path(path).match(pattern) for pattern in patterns):
                    for row in text.splitlines():
                        on_line(f"{path}\t{row}")

    def temporary_files(self) -> dict[str, str]:
        puts = [action for action in self.actions if isinstance(action, Put)]
        ours = [put for put in puts if put.path.startswith(FOLDER)]
        return {put.path.removeprefix(f"{FOLDER}/"): put.data.decode() for put in ours}


def plan_of(name: str) -> Plan:
    return recipe.plan(golden_plans.base(name), "osg")


def made(name: str, repositories: TemporaryRepositories, files: Mapping[str, str]) -> Machine:
    machine = Machine(files)
    guest.apply_task(Task(plan_of(name), 0, "key", "host.pub", repositories, True), machine, Silent())
    return machine


def repositories(name: str, release: str, source: str, **urls: str) -> TemporaryRepositories:
    return build_files._temporary_repositories(plan_of(name), Repositories(release, source, urls=urls))


def test_a_mirror_is_written_with_the_url_that_the_machine_reaches() -> None:
    files = {"/etc/yum.repos.d/almalinux.repo": BASEOS, "/etc/dnf/dnf.conf": DNF}
    urls = {"htcondor": MIRROR, "baseos": "https://pulp.example.org/baseos/"}
    machine = made("almalinux9", repositories("almalinux9", "9", "", **urls), files)
    found = machine.temporary_files()
    assert found["yum.repos.d/almalinux.repo"] == (
        "[baseos]\nbaseurl=https://pulp.example.org/baseos/\nname=BaseOS\ngpgcheck=1\n"
    )
    assert f"baseurl={GATEWAY}" in found["yum.repos.d/htcondor.repo"]
    assert found["dnf.conf"] == f"[main]\nreposdir={FOLDER}/yum.repos.d\ngpgcheck=1\n"
    [bound] = [a.argv[-1] for a in machine.actions if isinstance(a, Run) and "mount --bind" in str(a.argv)]
    assert bound == "/etc/dnf/dnf.conf"


def test_the_definitions_in_the_image_keep_their_public_urls() -> None:
    machine = made("almalinux9", repositories("almalinux9", "9", "", htcondor=MIRROR), {})
    own = [
        action.data
        for action in machine.actions
        if isinstance(action, Put) and action.path == "/etc/yum.repos.d/htcondor.repo"
    ]
    planned = [a for step in plan_of("almalinux9").steps for a in step.actions if isinstance(a, Put)]
    assert own == [put.data for put in planned if put.path == "/etc/yum.repos.d/htcondor.repo"]
    assert not [action for action in machine.actions if isinstance(action, Run) and GATEWAY in str(action)]


def test_el_without_mirrors_uses_its_own_definitions() -> None:
    files = {"/etc/yum.repos.d/almalinux.repo": BASEOS, "/etc/dnf/dnf.conf": DNF}
    machine = made("almalinux9", repositories("almalinux9", "9", ""), files)
    assert "dnf.conf" not in machine.temporary_files()
    assert not [a for a in machine.actions if isinstance(a, Run) and "mount --bind" in str(a.argv)]


def test_an_unknown_repository_id_fails_before_the_first_step() -> None:
    machine = Machine({"/etc/yum.repos.d/almalinux.repo": BASEOS})
    with pytest.raises(BadInput, match="defines a repository htcondr") as caught:
        misspelled = repositories("almalinux9", "9", "", htcondr=MIRROR)
        guest.apply_task(
            Task(plan_of("almalinux9"), 0, "key", "host.pub", misspelled, True), machine, Silent()
        )
    assert "baseos" in caught.value.hint
    assert not [put for put in machine.actions if isinstance(put, Put) and not put.path.startswith(FOLDER)]


def test_apt_uses_the_mirror_and_the_repositories_of_the_plan() -> None:
    sources = mirror.Mirror("http://mirror.invalid/debian", "").sources("bookworm")
    files = {
        "/etc/apt/sources.list": "deb http://own.invalid/debian bookworm main\n",
        "/etc/apt/sources.list.d/debian.sources": "Types: deb\nURIs: http://own.invalid/debian\n",
    }
    found = made(
        "debian12", repositories("debian12", "bookworm", sources, htcondor=MIRROR), files
    ).temporary_files()
    assert {name for name in found if name.startswith("sources.list.d/")} == {
        "sources.list.d/bake.sources",
        "sources.list.d/worker-htcondor.sources",
    }
    assert f"URIs: {GATEWAY}\n" in found["sources.list.d/worker-htcondor.sources"]
    assert "bake.sources.list" not in found


def test_a_distribution_without_a_mirror_uses_its_own_definitions() -> None:
    files = {
        "/etc/apt/sources.list": "deb http://own.invalid/ubuntu noble main\n",
        "/etc/apt/sources.list.d/ubuntu.sources": "Types: deb\nURIs: http://own.invalid/ubuntu\n",
    }
    found = made("ubuntu24.04", repositories("ubuntu24.04", "noble", ""), files).temporary_files()
    assert found["bake.sources.list"] == files["/etc/apt/sources.list"]
    assert found["sources.list.d/ubuntu.sources"] == files["/etc/apt/sources.list.d/ubuntu.sources"]
