"""The steps of a site on EL stand-ins: real dnf (under the name of yum on EL7), rpm and shadow-utils."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bakery.image import recipe
from bakery.machines.layer import layer
from provisioner.apply import apply
from provisioner.events import Silent
from provisioner.packages.repositories import Key, Repository
from provisioner.process import run
from provisioner.roles.customization import Customization, SiteCommand, SiteFile, User
from provisioner.targets.chroot import Chroot, TemporaryRepositories
from tests import golden_plans
from tests.integration import el_standin
from tests.integration.el_standin import NOTES, RELEASES, Release, Standin
from tests.integration.repository import served

BASES: dict[Release, str] = {"7": "centos7", "9": "almalinux9"}
PUBLIC = "http://packages.site.example/el"


# One release in each run: they differ in the name of dnf and in the place of the kernel's arguments.
@pytest.fixture(
    params=[pytest.param("7", marks=pytest.mark.full), "9"],
    ids=[f"el{release}" for release in RELEASES],
)
def vendor(
    request: pytest.FixtureRequest, standin: Standin, tmp_path: Path
) -> Iterator[tuple[Release, Path]]:
    """The release, and the root of a stand-in for it; its packages are those that a plan has by then."""
    disk = tmp_path / "vendor.raw"
    run.call(["cp", "--sparse=always", str(standin.disk), str(disk)])
    with el_standin.mounted(disk, tmp_path / "vendor") as lower:
        el_standin.become(lower, request.param, standin)
        with layer(lower, tmp_path) as root:
            yield request.param, root
    disk.unlink()


def customization(key: bytes) -> Customization:
    """The repository has the package squashfuse-stand-in, signed with the key."""
    own = Repository(
        "site-tools", "site", "site-tools", "Tools of the site", PUBLIC, (Key("site-tools", key),)
    )
    return Customization(
        packages=("squashfuse-stand-in",),
        repositories=(own,),
        files=(SiteFile("/etc/site/private", b"x\n", 0o640, "agent:site"),),
        users=(User("agent", home="/var/lib/agent", system=True), User("alice", groups=("site",))),
        services=(("chronyd.service", "mask"),),
        sysctl=(("vm.swappiness", "10"),),
        kernel_arguments=("site.tag=example",),
        commands=(
            SiteCommand("note it", script=b"#!/bin/sh\nrpm -q squashfuse-stand-in >/etc/site/rpm\n"),
        ),
    )


def test_the_steps_of_a_site_take_effect_and_can_be_repeated(
    vendor: tuple[Release, Path], standin: Standin, tmp_path: Path
) -> None:
    release, root = vendor
    own = customization(standin.key("epel").read_bytes())
    plan = recipe.plan(golden_plans.base(BASES[release]), "osg", customization=own)
    steps = [step for step in plan.steps if step.role == "site"]
    with served(standin.repositories) as server:
        urls = {**standin.urls(release, server), "site-tools": f"{server}/epel/"}
        target = Chroot(root, TemporaryRepositories("", "", tmp_path / "packages", urls))
        try:
            for _ in range(2):
                apply(steps, target, Silent())
        finally:
            target.close()
    inside = ["chroot", str(root)]
    assert run.call([*inside, "rpm", "-q", "squashfuse-stand-in"]).stdout.startswith(
        "squashfuse-stand-in-1"
    )
    assert (root / "etc/site/rpm").read_text().startswith("squashfuse-stand-in-1")
    defined = (root / "etc/yum.repos.d/site-tools.repo").read_text()
    assert f"baseurl={PUBLIC}\nenabled=1\ngpgcheck=1\n" in defined
    stated = run.call([*inside, "stat", "-c", "%a %U:%G", "/etc/site/private"]).stdout
    assert stated == "640 agent:site\n"
    assert run.call([*inside, "id", "-Gn", "alice"]).stdout.split() == ["alice", "site"]
    assert (
        (root / "usr/lib/tmpfiles.d/worker-site-homes.conf")
        .read_text()
        .endswith("d /home/alice 0700 alice alice -\n")
    )
    assert (root / "etc/systemd/system/chronyd.service").readlink() == Path("/dev/null")
    told = (root / NOTES[1:] / "told").read_text().splitlines()
    assert told.count("grubby --update-kernel=ALL --args=site.tag=example") == 2
