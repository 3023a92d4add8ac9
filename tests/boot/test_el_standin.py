"""The plans for EL7 and EL9 on an EL stand-in, which is what its module says, and no more.

Baked by the command through chroot, and applied over ssh to a machine that runs; rpm checks signatures;
the worker boots in namespaces, joins a pool and runs a job.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from bakery.machines import namespace
from bakery.machines.layer import layer
from bakery.machines.machine import Machine
from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import GATEWAY, isolated
from bakery.runtime import digest, qemu_img, sandbox
from bakery.store.store import Store, commit
from bakery.userdata.rendering import conf_text
from bakery.verify import image_tests
from bakery.verify.pool import throwaway_pool as pools
from provisioner import plan as plans
from provisioner.apply import apply
from provisioner.disk.file_systems import mount_root
from provisioner.events import Silent
from provisioner.plan import Plan
from provisioner.process import run
from provisioner.roles.seal import machine_id
from provisioner.targets.chroot import Chroot, TemporaryRepositories
from tests.boot.life import SHOW_ISSUE, conf, configure, submitted, wait_job, wait_joined
from tests.conftest import VENDOR, Ended, Folders, command
from tests.integration import docker_here, el_standin
from tests.integration.docker.containers import COMPLETED, started
from tests.integration.docker_here import Docker, Host
from tests.integration.el_standin import NOTES, RELEASES, Release, Standin
from tests.integration.engines.test_provision_ssh import LISTS, Site, listed, made_ready, new_key
from tests.integration.repository import listening, served

BY_COMMAND = "7"
NAMES: dict[Release, str] = {"7": "centos7", "9": "almalinux9"}


@dataclass(frozen=True)
class Vendor:
    """A vendor's image of the stand-in: its disk, and the TOML file of the base that it is."""

    release: Release
    standin: Standin
    disk: Path  # raw
    toml: Path
    store: Store

    def urls(self, server: str) -> dict[str, str]:
        return self.standin.urls(self.release, server)

    def keys(self) -> list[str]:
        """The options of a site that has signed packages itself."""
        return [f"--repository-key={name}={self.standin.key(name)}" for name in ("epel", "htcondor")]

    def options(self) -> list[str]:
        return ["--base", str(self.toml), *self.keys()]

    def plan(self, *more: str) -> Plan:
        done = command("bake-image", "--dry-run", "--json", *self.options(), *more)
        assert done.status == 0, done.err
        return plans.from_json(json.loads(done.out))


@pytest.fixture(scope="module", params=RELEASES, ids=[f"el{release}" for release in RELEASES])
def vendor(request: pytest.FixtureRequest, standin: Standin, folders: Folders) -> Vendor:
    folder, release = folders("vendor"), request.param
    name, disk, store = NAMES[release], folder / "vendor.raw", Store(folder / "cache")
    run.call(["cp", "--sparse=always", str(standin.disk), str(disk)])
    with el_standin.mounted(disk, folder / "root") as root:
        el_standin.become(root, release, standin)
    digest = keep(disk, store) if release == BY_COMMAND else "9" * 64
    text = VENDOR.format(url="http://nowhere.invalid/image.qcow2", digest=digest)
    changes = {'name = "mine"': f'name = "{name}"', 'family = "debian"': f'family = "el{release}"'}
    for old, new in changes.items():
        text = text.replace(old, new)
    (folder / f"{name}.toml").write_text(text)
    return Vendor(release, standin, disk, folder / f"{name}.toml", store)


def keep(disk: Path, store: Store) -> str:
    """Have it in the store as a base that was fetched already; its digest."""
    kept = disk.with_suffix(".qcow2")
    qemu_img.to_qcow2(disk, kept)
    of_it = digest.of(kept)
    made = "2026-01-01T00:00:00+00:00"
    commit(kept, store.base(of_it), {"sha256": of_it, "size": kept.stat().st_size, "made": made})
    return of_it


@dataclass(frozen=True)
class Baked:
    vendor: Vendor
    image: Image
    id: str


@pytest.fixture(scope="module")
def baked_el(vendor: Vendor, folders: Folders) -> Iterator[Baked]:
    """The image, proven offline, of which seal and hygiene are a part. What is lent is a site's mirror.

    One by the command; one by what the command's engine runs, which spares copies of the disk.
    """
    folder = folders("baked")
    disk, root = folder / "disk.raw", folder / "root"
    root.mkdir()
    with served(vendor.standin.repositories) as server:
        lent = [f"--repository-url={name}={url}" for name, url in vendor.urls(server).items()]
        made = by_command if vendor.release == BY_COMMAND else by_engine
        made_id = made(vendor, lent, disk)
    mount_root(disk, root, read_only=True)
    if vendor.release != BY_COMMAND:
        assert image_tests.run_offline(root, folder, Silent()).passed > 50
    yield Baked(vendor, Image(disk, root, "cloud"), made_id)
    run.call(["umount", str(root)])
    disk.unlink()


def by_command(vendor: Vendor, lent: list[str], disk: Path) -> str:
    env = {"WORKER_BAKERY_CACHE": str(vendor.store.root)}
    done = command("bake-image", "--verify", "offline", "--json", *vendor.options(), *lent, env=env)
    assert done.status == 0, done.err[-4000:]
    told = json.loads(done.out)
    qemu_img.to_raw(Path(told["path"]), disk)
    return str(told["id"])


def by_engine(vendor: Vendor, lent: list[str], disk: Path) -> str:
    run.call(["cp", "--sparse=always", str(vendor.disk), str(disk)])
    plan, nothing = vendor.plan(), disk.with_name("nothing")
    nothing.touch()
    module = [sys.executable, "-P", "-m", "provisioner", "apply", "--disk", str(disk)]
    texts = [f"--{name}={nothing}" for name in ("sources", "more-sources", "preferences")]
    (disk.parent / "packages").mkdir()
    whole = ["--to", str(len(plan.steps)), "--checkpoints", "none", "--writing", "0"]
    argv = [*module, *texts, *whole, "--package-cache", str(disk.parent / "packages"), *lent]
    sandbox.run_module(argv, json.dumps(plans.to_json(plan)).encode(), Silent())
    return plan.id


def text(root: Path, path: str) -> str:
    return (root / path[1:]).read_text()


def rpm(root: Path, *query: str) -> list[str]:
    return run.call(["chroot", str(root), "rpm", "-q", *query]).stdout.splitlines()


def test_rpm_has_checked_what_it_installed_and_brought_the_base_up_to_date(baked_el: Baked) -> None:
    root = baked_el.image.root
    [signature] = rpm(root, "--qf", "%{RSAHEADER:pgpsig}\n", "condor")
    assert signature.startswith("RSA/")
    assert rpm(root, "e2fsprogs") == ["e2fsprogs-2-1.x86_64"]
    keys = rpm(root, "gpg-pubkey", "--qf", "%{SUMMARY}\n")
    assert sorted(key.split("@")[0] for key in keys) == ["epel", "htcondor", "vendor"]


def test_the_image_has_the_public_repositories_and_its_id_nothing_of_the_lent_ones(baked_el: Baked) -> None:
    root, vendor = baked_el.image.root, baked_el.vendor
    assert "baseurl=https://htcss-downloads." in text(root, "/etc/yum.repos.d/htcondor.repo")
    if vendor.release == "7":
        base = text(root, "/etc/yum.repos.d/CentOS-Base.repo")
        assert (base.count("baseurl=http://vault.centos.org/7.9.2009/"), "mirrorlist" in base) == (3, False)
    else:
        assert text(root, "/etc/yum.repos.d/almalinux.repo").count("enabled=1") == 3  # crb is one of them
    assert vendor.plan().id == baked_el.id
    assert text(root, "/etc/dnf/dnf.conf") == el_standin.DNF_CONF


def test_the_newest_kernel_is_booted_and_selinux_has_been_told(baked_el: Baked) -> None:
    root, release = baked_el.image.root, baked_el.vendor.release
    told = text(root, f"{NOTES}/told")
    assert "grubby --set-default=/boot/vmlinuz-3.10.0-10\n" in told
    assert "semodule --noreload -i /usr/share/condor/htcondor.pp\n" in told
    assert ("condor_domain_can_network_connect" in told) == (release == "7")
    if release == "9":
        assert text(root, "/etc/kernel/cmdline") == "root=UUID=stand-in ro console=ttyS0\n"


def test_setfiles_has_labelled_all_files(baked_el: Baked) -> None:
    root = baked_el.image.root

    def label(path: str) -> str:
        return os.getxattr(root / path[1:], "security.selinux").decode().rstrip("\0").split(":")[2]

    assert label("/etc/condor/config.d/10-worker.config") == "etc_t"
    assert label("/usr/lib/worker-bakery/worker") == "bin_t"
    assert label("/var/lib/condor") == "default_t"


def test_machine_id_is_what_its_systemd_takes_for_a_first_boot(baked_el: Baked) -> None:
    wanted = machine_id("el7" if baked_el.vendor.release == "7" else "el9")
    assert text(baked_el.image.root, "/etc/machine-id") == wanted


def test_it_boots_joins_the_pool_and_runs_a_job(baked_el: Baked, tmp_path: Path) -> None:
    for name in ("pool", "machine", "network"):
        (tmp_path / name).mkdir()
    group, project = f"EL{baked_el.vendor.release}", "TG-EL"
    root = baked_el.image.root
    # A network of its own, as the other tests' pool has its address on theirs.
    with (
        isolated(tmp_path / "network") as network,
        pools.start_in_sandbox(root, tmp_path / "pool", network) as pool,
    ):
        needs = Needs(network=network, hostname=f"el{baked_el.vendor.release}")
        with boot(needs, baked_el.image, tmp_path / "machine") as machine:
            machine.wait_booted()
            assert complaints(machine) == []
            assert "Worker image osg-" in machine.output(*SHOW_ISSUE)
            configure(machine, conf(pool, group, project))
            wait_joined(machine, pool, group)
            with submitted(
                pool, "says", project, "#!/bin/sh\n. /etc/os-release; echo $ID $(id -un)\n"
            ) as job:
                wait_job(machine, pool, job)
            name = "centos" if baked_el.vendor.release == "7" else "almalinux"
            assert pool.output("says").split() == [name, "slot1"]


def complaints(machine: Machine) -> list[str]:
    """What systemd has to say against our units. It is Debian's; for EL7's there is a unit test."""
    units = ("condor.service", "osg-worker.service", "osg-worker.path", "worker-life.service")
    done = machine.run(["systemd-analyze", "verify", "--man=no", *units], expect=range(256))
    return [row for row in done.stderr.splitlines() if "worker" in row or "condor" in row]


@pytest.fixture(scope="module")
def vendor_root(vendor: Vendor, folders: Folders) -> Iterator[Path]:
    with el_standin.mounted(vendor.disk, folders("vendor") / "root") as root:
        yield root


@pytest.fixture(scope="module")
def site(vendor: Vendor, vendor_root: Path, folders: Folders) -> Iterator[tuple[Site, str]]:
    """A machine of the vendor's image that runs already, and the URL of its site's mirror."""
    home, work = folders("home"), folders("site")
    new_key(home / "key")
    with (
        layer(vendor_root, work) as root,
        isolated(work) as network,
        listening(vendor.standin.repositories, network.listen(GATEWAY, 0)) as port,
        namespace.boot(
            root, console=work / "console", network=network, arguments=["cloud-init=disabled"]
        ) as machine,
    ):
        machine.wait_booted()
        address = machine.run(["hostname", "-I"]).stdout.split()[0]
        yield made_ready(Site(machine, network, home, address)), f"http://{GATEWAY}:{port}"


@pytest.mark.parametrize("vendor", [BY_COMMAND], indirect=True)
def test_image_diff_names_a_package_that_one_has_more(
    vendor: Vendor, vendor_root: Path, tmp_path: Path
) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    with layer(vendor_root, tmp_path / "a") as a, layer(vendor_root, tmp_path / "b") as b:
        shutil.copy(vendor.standin.repositories / "updates/e2fsprogs-2.rpm", b / "root")
        run.call(["chroot", str(b), "rpm", "-U", "--nodeps", "/root/e2fsprogs-2.rpm"])
        run.call(["chroot", str(b), "rpm", "-e", "grubby", "--nodeps"])
        (b / "root/e2fsprogs-2.rpm").unlink()
        done = command("worker-bakery", "diff", "--json", str(a), str(b))
    assert done.status == 8, done.err
    told = json.loads(done.out)
    found = {one["name"]: one.get("changes", one["what"]) for one in told["differences"]}
    assert found == {
        "e2fsprogs.x86_64": [{"field": "version", "a": "1-1", "b": "2-1"}],
        "grubby.x86_64": "removed",
        "/usr/sbin/grubby": "removed",
    }
    assert "/var/lib/rpm/rpmdb.sqlite" in {one["name"] for one in told["volatile"]}


# A pool and a daemon more: tests/integration/docker has a container's life, this the packages of EL in one.
@pytest.mark.full
@pytest.mark.parametrize("vendor", [BY_COMMAND], indirect=True)
def test_a_container_of_it_joins_the_pool_and_runs_a_job(
    vendor: Vendor, vendor_root: Path, baked_el: Baked, tmp_path: Path
) -> None:
    """Proven as bake-image proves it; then by its entry point, in Docker, without privilege."""
    group, project = "ELC", "TG-ELC"
    for name in ("layer", "pool", "network", "docker"):
        (tmp_path / name).mkdir()
    with (
        layer(vendor_root, tmp_path / "layer") as root,
        isolated(tmp_path / "network") as network,
        pools.start_in_sandbox(baked_el.image.root, tmp_path / "pool", network) as pool,
        ExitStack() as stack,
    ):
        become_container(root, vendor, tmp_path / "packages")
        assert image_tests.run_offline(root, tmp_path, Silent(), container=True).passed > 50
        assert rpm(root, "systemd") == ["systemd-1-1.x86_64"]  # HTCondor's package asks for it
        told = tmp_path / "worker.conf"
        told.write_text(conf_text(conf(pool, group, project)))
        told.chmod(0o600)
        docker = stack.enter_context(docker_here.daemon(tmp_path / "docker", Host(network)))
        volume = ("-v", f"{told}:/etc/osg-worker.conf")
        with started(docker, *volume, image=imported(docker, root, tmp_path / "root.tar")) as container:
            container.wait_until("it joined", lambda: bool(pool.status(group)), 300)
            assert pool.slot_attributes(group, "HasUdocker") == ["undefined"]
            with submitted(
                pool, "says", project, "#!/bin/sh\n. /etc/os-release; echo $ID $(id -un)\n"
            ) as job:
                container.wait_until(
                    "its job ended", lambda: pool.job_attributes(job, "JobStatus") == [COMPLETED], 300
                )
            assert pool.output("says").split() == ["centos", "slot1"]
            assert container.stop(100) == 0


def imported(docker: Docker, root: Path, archive: Path) -> str:
    """A root directory as an image with the worker's entry point."""
    run.call(["tar", "-C", str(root), "--exclude=./proc/*", "--exclude=./sys/*", "-cf", str(archive), "."])
    entry = f'ENTRYPOINT ["{ENTRY}", "run"]'
    done = docker.call("import", "--change", entry, str(archive), "worker:el")
    assert done.returncode == 0, done.stderr
    return "worker:el"


ENTRY = "/usr/lib/worker-bakery/worker"


def become_container(root: Path, vendor: Vendor, packages: Path) -> None:
    """By the plan of `--format oci`. How a root becomes an archive is not the base's business."""
    plan = vendor.plan("--format", "oci")
    with served(vendor.standin.repositories) as server:
        target = Chroot(root, TemporaryRepositories("", "", packages, vendor.urls(server)))
        try:
            apply(plan.steps, target, Silent())
        finally:
            target.close()


@dataclass(frozen=True)
class Provisioned:
    site: Site
    plan: Plan
    before: dict[str, set[str]]
    first: Ended


OLD_KERNEL = "/boot/vmlinuz-3.10.0-9"
MODULES = "/etc/dnf/modules.d"


@pytest.fixture(scope="module")
def provisioned(vendor: Vendor, site: tuple[Site, str]) -> Provisioned:
    """The plan has the site's URLs, as nothing is lent to a machine that runs; its files have them too."""
    machine, server = site
    use_mirror(machine, vendor.urls(server))
    machine.machine.run(["grubby", f"--set-default={OLD_KERNEL}"])
    machine.machine.put(f"{MODULES}/theirs.module", b"[theirs]\n")
    urls = {name: url for name, url in vendor.urls(server).items() if is_of_the_plan(vendor, name)}
    given = [f"--repository-url={name}={url}" for name, url in urls.items()]
    plan = vendor.plan("--keep-repository-urls", *given)
    before = listed(machine, LISTS | RPM)
    return Provisioned(machine, plan, before, machine.apply(plan))


# Of a key, the summary says whose it is.
RPM = {"packages": "rpm -qa --qf '%{NAME}.%{ARCH}: %{SUMMARY}\\n'"}


# In each run on EL9: of EL7, yum is the same dnf, and the bake above shows its plan.
over_ssh = pytest.mark.parametrize(
    "vendor",
    [pytest.param(one, marks=pytest.mark.full) if one == BY_COMMAND else one for one in RELEASES],
    ids=[f"el{release}" for release in RELEASES],
    indirect=True,
)


@over_ssh
def test_the_same_plan_over_ssh(provisioned: Provisioned) -> None:
    machine, first = provisioned.site, provisioned.first
    assert first.status == 0, first.err[-4000:]
    assert "Skipped, because they are for images only (--seal): seal: remove traces" in first.err
    assert machine.says("rpm", "-q", "condor", "e2fsprogs").split() == [
        "condor-1-1.x86_64",
        "e2fsprogs-2-1.x86_64",
    ]
    assert machine.says("systemctl", "is-enabled", "chronyd") == "enabled"
    assert machine.apply(provisioned.plan).out.startswith("nothing to do: all ")


@over_ssh
def test_and_is_given_back(provisioned: Provisioned) -> None:
    site, before = provisioned.site, provisioned.before
    # As a worker that has lived for a while; and modules that its packages, and somebody, have enabled.
    for verb in ("storage", "resources"):
        site.machine.run(["/usr/lib/worker-bakery/worker", verb])
    site.machine.put("/etc/osg-worker.conf", b"Token = x\n", 0o600)
    site.machine.put(f"{MODULES}/python36.module", b"[python36]\n")
    # What somebody installs later is not the plan's.
    site.machine.run(["yum" if site.has("/usr/bin/yum") else "dnf", "-y", "install", "stand-in-extra"])
    done = site.run("remove")
    assert (done.status, done.out) == (0, "removed\n"), done.err[-4000:]
    assert "Kept, because other packages depend on them: stand-in-libs.x86_64." in done.err
    after = listed(site, LISTS | RPM)
    gone = {name: before[name] - after[name] for name in before}
    come = {name: after[name] - before[name] for name in before}
    nothing: dict[str, set[str]] = {name: set() for name in before}
    assert gone == nothing
    stay = {f"{name}.x86_64: Made for a test" for name in ("stand-in-libs", "stand-in-extra")}
    assert come == nothing | {"packages": stay}
    assert site.says("rpm", "-q", "e2fsprogs") == "e2fsprogs-2-1.x86_64"
    assert site.says("grubby", "--default-kernel") == OLD_KERNEL
    told = [row for row in site.says("cat", f"{NOTES}/told").splitlines() if row.startswith("sem")]
    assert told[-3:] == [
        "semanage boolean --noreload -d daemons_enable_cluster_mode",
        "semanage boolean --noreload -d condor_domain_can_network_connect",
        "semodule --noreload -r htcondor",
    ]
    assert site.run("remove").out == "nothing to remove: no plan was applied\n"


def is_of_the_plan(vendor: Vendor, repository: str) -> bool:
    return vendor.release == "7" or repository in ("epel", "htcondor")


def use_mirror(site: Site, urls: dict[str, str]) -> None:
    """In the definitions of the machine's own, as whoever looks after it would."""
    for name, url in urls.items():
        script = f"s,^mirrorlist=.*repo={name}$,baseurl={url},"
        site.machine.run(["sh", "-ec", 'sed -i "$1" /etc/yum.repos.d/*.repo', "sed", script])
