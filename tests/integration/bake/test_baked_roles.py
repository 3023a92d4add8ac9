"""An image with both optional roles: apptainer of Debian's unstable, and CVMFS of a stand-in package.

CVMFS's own repository may be out of reach. The stand-in brings what CVMFS's package has for autofs,
a program that says what to mount: here a folder of the image in the place of a repository.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakery.image import recipe
from bakery.machines.layer import layer
from bakery.machines.namespace import NamespaceMachine
from bakery.runtime import qemu_img
from bakery.runtime.mirror import find as find_mirror
from bakery.store.store import Store, manifest_path
from provisioner.disk.file_systems import mount_root
from provisioner.process import run
from tests.boot.test_guest_life import booted, conf, shell, slot, write
from tests.conftest import BASE, Folders, command, share_base
from tests.integration import repository
from tests.integration.worker.test_worker_jobs import HOME, JOBS, POOL, SOONER

REPOSITORY = "stand-in.example.org"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
AUTO_CVMFS = '#!/bin/sh\n[ -d "/opt/cvmfs/$1" ] && echo "-fstype=bind :/opt/cvmfs/$1"\n'
SUBMIT = f"""\
universe = container
container_image = {HOME}/image.sif
executable = job.sh
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
request_cpus = 1
request_memory = 200
request_disk = 20480
output = job.out
log = job.log
queue
"""
OPTIONS = (
    *("--with", "cvmfs", "--with", "apptainer"),
    *("--cvmfs-repositories", REPOSITORY),
    *("--cvmfs-proxy", "http://squid.example.org:3128;DIRECT"),
)


@dataclass(frozen=True)
class Baked:
    path: Path
    lent: str  # the stand-in's URL
    cache: Path


def roles_store(store: Store, root: Path) -> Store:
    """A store that knows of an image's way up to condor, so that nothing of the rest is found.

    Its packages are its own: those made here must not get among the user's.
    """
    own = Store(root)
    plan = recipe.plan(BASE, "osg")
    done = next(n for n in plan.role_ends() if plan.steps[n - 1].role == "condor")
    kept, mine = store.checkpoint(plan.id_after(done)), own.checkpoint(plan.id_after(done))
    mine.parent.mkdir(parents=True)
    if kept.exists():  # it is only where it pays
        for path in (kept, manifest_path(kept)):
            (mine.parent / path.name).symlink_to(path)
    share_base(store, own.root)
    return own


def stand_in(folder: Path) -> str:
    """A repository with a package cvmfs, and with what the base has already, but newer. Its key."""
    files = {
        "etc/auto.cvmfs": (AUTO_CVMFS, 0o755),
        f"opt/cvmfs/{REPOSITORY}/hello": ("from a stand-in\n", 0o644),
    }
    repository.package(folder, "cvmfs", "Depends: autofs\n", files)
    repository.package(folder, "squashfuse", "", {}, version="99")
    return repository.index(folder)


@pytest.fixture(scope="module")
def with_roles(store: Store, baked: dict[str, Any], folders: Folders) -> Iterator[Baked]:
    """The image, baked by the command. Nothing of it is kept in the user's store."""
    folder = folders("roles")
    (folder / "repository").mkdir()
    key = stand_in(folder / "repository")
    cache = roles_store(store, folder / "cache").root
    with repository.served(folder / "repository") as url:
        sid, own = folder / "sid.sources", folder / "stand-in.sources"
        sid.write_text(
            f"Types: deb\nURIs: {find_mirror().main}\nSuites: sid\nComponents: main\n"
            f"Check-Valid-Until: no\nSigned-By: {KEYRING}\n"
        )
        own.write_text(f"Types: deb\nURIs: {url}\nSuites: ./\nSigned-By:{repository.as_field(key)}\n")
        lent = ("--apt-source", str(sid), "--apt-source", str(own))
        env = {"WORKER_BAKERY_CACHE": str(cache)}
        done = command("bake-image", "--verify", "offline", "--json", *OPTIONS, *lent, env=env)
        assert done.status == 0, done.err[-3000:]
        yield Baked(Path(json.loads(done.out)["path"]), url, cache)


@pytest.fixture(scope="module")
def roles_root(with_roles: Baked, folders: Folders) -> Iterator[Path]:
    """Its root directory, read-only."""
    folder = folders("roles-image")
    disk, root = folder / "disk.raw", folder / "root"
    root.mkdir()
    qemu_img.to_raw(with_roles.path, disk)
    mount_root(disk, root, read_only=True)
    yield root
    run.call(["umount", str(root)])
    disk.unlink()


@contextmanager
def pool_of_its_own(lower: Path, folder: Path) -> Iterator[Path]:
    """The root directory of a worker that is a small pool by itself."""
    with layer(lower, folder) as root:
        (root / "etc/condor/config.d/95-test.config").write_text(SOONER + POOL)
        yield root


@pytest.fixture(scope="module")
def machine(roles_root: Path, folders: Folders) -> Iterator[NamespaceMachine]:
    """A worker of it, with what a virtual machine would have and a namespace has not."""
    folder = folders("roles-machine")
    with pool_of_its_own(roles_root, folder) as root, booted(root, folder / "console") as up:
        shell(up, "mkdir -p /run/systemd/resolve; echo >/run/systemd/resolve/stub-resolv.conf")
        shell(up, "mknod -m 666 /dev/fuse c 10 229; systemctl restart autofs")
        up.run(["useradd", "--create-home", "alice"])
        write(up, conf())
        up.wait_until("it has looked at itself", lambda: bool(slot(up, "NODE_STATUS")), 240)
        yield up


def test_slots_offer_containers_and_the_machine_is_healthy(machine: NamespaceMachine) -> None:
    assert slot(machine, "NODE_STATUS") == "OK"
    for name in ("HasSingularity", "HasContainer", "HasSandboxImage", "HasSIF"):
        assert slot(machine, name) == "true", slot(machine, "SingularityOfflineReason")
    assert slot(machine, "SingularityVersion").startswith("apptainer version ")


def test_an_account_of_a_slot_runs_a_container_of_an_image_file(machine: NamespaceMachine) -> None:
    who = "setpriv --reuid=slot1 --regid=slot1 --clear-groups env -i PATH=/usr/bin"
    contained = f"cd /; {who} apptainer --silent exec --contain --no-home"
    image = "/usr/libexec/condor/exit_37.sif"
    assert shell(machine, f"{contained} {image} /exit_37 2>&1; echo $?") == "37"
    root = "--bind /usr:/usr:ro /run/worker-bakery/health/container"
    uid = shell(machine, "id -u slot1")
    assert shell(machine, f"{contained} {root} /usr/bin/id -u 2>&1").splitlines()[-1] == uid
    # It is a container: nothing of this machine but what was asked for.
    assert shell(machine, f"{contained} {root} /usr/bin/ls /etc/condor 2>&1; echo $?").endswith("\n2")


def test_a_job_that_asks_for_a_container_runs_in_its_image(machine: NamespaceMachine) -> None:
    for name, text in (
        ("make-image.sh", (JOBS / "make-image.sh").read_text()),
        ("job.sh", (JOBS / "in_container.sh").read_text()),
        ("job.sub", SUBMIT),
    ):
        machine.put(f"{HOME}/{name}", text.encode(), 0o755)
    machine.run(["sh", f"{HOME}/make-image.sh", f"{HOME}/image.sif"])
    machine.run(["su", "alice", "-c", f"cd {HOME} && condor_submit job.sub"])
    ended = f"grep -q '^005 ' {HOME}/job.log"
    machine.wait_until("the job has ended", lambda: machine.succeeds("sh", "-c", ended), 240)
    said = shell(machine, f"cat {HOME}/job.out").splitlines()
    assert said == [shell(machine, "id -u slot1"), "in the image", "not on the machine", "writes"]


def test_a_stand_in_for_cvmfs_is_mounted_when_somebody_looks(machine: NamespaceMachine) -> None:
    assert shell(machine, f"cat /cvmfs/{REPOSITORY}/hello") == "from a stand-in"
    assert f"/cvmfs/{REPOSITORY}" in shell(machine, "cat /proc/mounts")
    meant = ". /etc/cvmfs/default.local; echo $CVMFS_REPOSITORIES $CVMFS_QUOTA_LIMIT $CVMFS_HTTP_PROXY"
    assert shell(machine, meant) == f"{REPOSITORY} 4000 http://squid.example.org:3128;DIRECT"
    after = shell(machine, "systemctl show -p After --value condor.service")
    assert "autofs.service" in after.split()


def test_a_repository_that_cannot_be_mounted_makes_the_machine_ill(machine: NamespaceMachine) -> None:
    shell(machine, "sed -i 's/^CVMFS_REPOSITORIES=.*/CVMFS_REPOSITORIES=gone.example.org/' "
                   "/etc/cvmfs/default.local")  # fmt: skip
    said = shell(machine, "/usr/lib/worker-bakery/worker health")
    assert 'NODE_STATUS = "CVMFS gone.example.org: No such file or directory"' in said


def test_a_lent_source_gives_only_what_the_base_s_has_not_and_leaves_no_trace(
    with_roles: Baked, roles_root: Path, image_root: Path
) -> None:
    installed, before = versions(roles_root), versions(image_root)
    assert {name: installed[name] for name in before} == before
    assert installed["squashfuse"] != "99"
    assert installed["cvmfs"] == "1"
    left = run.call(["grep", "-rlF", with_roles.lent, *(str(roles_root / name) for name in
                     ("etc", "root", "var", "opt", "usr/lib/worker-bakery"))], expect=(1,))  # fmt: skip
    assert left.stdout == ""
    assert list((roles_root / "etc/apt/sources.list.d").glob("*")) == []
    assert list((roles_root / "etc/apt/keyrings").glob("*")) == []


def versions(root: Path) -> dict[str, str]:
    rows = run.call(["chroot", str(root), "dpkg-query", "-W", "-f", "${Package} ${Version}\n"]).stdout
    return dict(row.split(" ") for row in rows.splitlines())


def test_without_a_source_for_it_the_error_names_the_package_and_the_option(
    with_roles: Baked, store: Store, tmp_path: Path
) -> None:
    env = {"WORKER_BAKERY_CACHE": str(roles_store(store, tmp_path / "cache").root)}
    done = command("bake-image", "-q", "--with", "apptainer", "--verify", "none", env=env)
    assert done.status == 2, done.err
    assert "error: No package source of this bake offers the package apptainer." in done.err
    assert "--apt-source" in done.err
