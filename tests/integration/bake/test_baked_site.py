"""An image with every addition of a site, baked by the chroot engine, and what of it is in the image."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bakery.bake import lookup
from bakery.bake.options import Options, make_plan
from bakery.engines.chroot import engine as chroot
from bakery.image.mkosi import Build
from bakery.image.repositories import Replaced
from bakery.machines.layer import layer
from bakery.runtime import qemu_img
from bakery.runtime.mirror import find as find_mirror
from bakery.store.store import Store, work_folder
from provisioner.actions import Run
from provisioner.disk.file_systems import partitions
from provisioner.errors import BadInput, BakeryError
from provisioner.events import Silent
from provisioner.plan import STAMP, Plan, PlannedStep, chained_id
from provisioner.process import run
from provisioner.roles.customization import Customization, SiteCommand, User
from provisioner.roles.site import accounts
from tests import site
from tests.conftest import BASE, Folders, command, mounted, share_base
from tests.integration import repository

ARGUMENTS = " mitigations=auto,nosmt site.tag=example"
UNIT = "[Service]\nExecStart=/usr/bin/site-agent\n[Install]\nWantedBy=multi-user.target\n"
SIZE = 6 << 30


def authority() -> bytes:
    """A certificate authority made now, in PEM."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Site CA of a test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def tools(folder: Path) -> str:
    """A repository with the package site-agent. Its key."""
    folder.mkdir()
    files = {
        "usr/bin/site-agent": ("#!/bin/sh\necho the agent\n", 0o755),
        "usr/lib/systemd/system/site-agent.service": (UNIT, 0o644),
    }
    repository.package(folder, "site-agent", "", files)
    return repository.index(folder)


def site_store(store: Store, root: Path) -> Store:
    """A store of its own with the base, and the packages that the user's has by now."""
    own = Store(root)
    share_base(store, root)
    kept = own.packages("trixie") / "archives"
    kept.mkdir(parents=True)
    for path in (store.packages("trixie") / "archives").glob("*.deb"):
        if not path.name.startswith("site-agent"):
            run.call(["cp", "--reflink=auto", "--link", str(path), str(kept)])
    return own


@dataclass(frozen=True)
class Site:
    """The baked image, and what it was baked from."""

    image: Path
    options: Options
    store: Store
    plan: Plan

    @property
    def own(self) -> Customization:
        return self.options.customization


@pytest.fixture(scope="module")
def baked_site(baked: dict[str, object], store: Store, folders: Folders) -> Iterator[Site]:
    """The image, proven offline: the tests of every image pass on it."""
    folder = folders("site")
    key, own = tools(folder / "repository"), site_store(store, folder / "cache")
    with repository.served(folder / "repository") as url:
        options = Options(
            level="offline",
            checkpoints="all",
            engine="chroot",
            replaced=Replaced({"site-tools": url}),
            customization=site.full((site.repository(key.encode()),), authority(), size=SIZE),
        )
        made = lookup.bake(options, own, Silent())
        assert not made.from_store
        yield Site(made.path, options, own, make_plan(options)[1])
    shutil.rmtree(own.root)  # of gigabytes; the bases are a link


@pytest.fixture(scope="module")
def root(baked_site: Site, folders: Folders) -> Iterator[Path]:
    with mounted(baked_site.image, folders("site-image")) as where:
        yield where


def inside(root: Path, *argv: str) -> str:
    return run.call(["chroot", str(root), *argv]).stdout.strip()


def owner(root: Path, path: str) -> tuple[str, int]:
    found = (root / path[1:]).lstat()
    return inside(root, "stat", "-c", "%U:%G", path), stat.S_IMODE(found.st_mode)


def test_packages_come_from_the_repository_and_its_definition_stays(root: Path, baked_site: Site) -> None:
    assert inside(root, "dpkg-query", "-W", "-f", "${Status}", "site-agent") == "install ok installed"
    defined = (root / "etc/apt/sources.list.d/worker-site-tools.sources").read_text()
    assert f"URIs: {site.URL}\nSuites: ./\nSigned-By: /etc/apt/keyrings/site-tools.asc\n" in defined
    (url,) = baked_site.options.replaced.urls.values()
    folders = [str(root / name) for name in ("etc", "var/lib", "usr/lib/worker-bakery")]
    assert run.call(["grep", "-rlF", url, *folders], expect=(1,)).stdout == ""


def test_files_have_their_content_owner_and_mode(root: Path) -> None:
    assert (root / "etc/site/agent.conf").read_text() == "server = monitor.site.example\n"
    assert owner(root, "/etc/site/agent.conf") == ("root:root", 0o644)
    assert owner(root, "/etc/site/agent.private") == ("agent:site", 0o640)
    assert (root / "etc/site/agent.private").read_bytes() == b"\xff\xfe"
    assert owner(root, "/opt/site/bin/whoami") == ("agent:agent", 0o4755)
    assert owner(root, "/etc/site") == ("root:root", 0o755)


def test_accounts_exist_and_homes_below_home_are_made_at_boot(root: Path) -> None:
    assert inside(root, "getent", "passwd", "alice") == "alice:x:1234:1234::/home/alice:/bin/sh"
    assert set(inside(root, "id", "-Gn", "alice").split()) == {"alice", "site", "adm"}
    assert inside(root, "getent", "shadow", "alice").split(":")[1] == "!"
    agent = inside(root, "getent", "passwd", "agent").split(":")
    assert int(agent[2]) < 1000
    assert agent[5:] == ["/var/lib/agent", "/usr/sbin/nologin"]
    assert owner(root, "/var/lib/agent") == ("agent:agent", 0o755)
    assert list((root / "home").iterdir()) == []


def test_an_account_that_exists_keeps_the_home_and_the_shell_that_the_site_does_not_set(
    root: Path, tmp_path: Path
) -> None:
    with layer(root, tmp_path) as over:

        def added(user: User) -> list[str]:
            for action in accounts.AddUser(user).actions():
                assert isinstance(action, Run)
                inside(over, *action.argv)
            return inside(over, "getent", "passwd", user.name).split(":")

        before = inside(over, "getent", "passwd", "www-data").split(":")
        assert before[5:] == ["/var/www", "/usr/sbin/nologin"]
        assert added(User("www-data", groups=("adm",))) == before
        assert "adm" in inside(over, "id", "-Gn", "www-data").split()
        assert added(User("www-data", shell="/bin/sh"))[5:] == ["/var/www", "/bin/sh"]
        assert added(User("www-data", home="/srv/www"))[5:] == ["/srv/www", "/bin/sh"]


def test_the_home_is_made_by_systemd_tmpfiles(root: Path, tmp_path: Path) -> None:
    with layer(root, tmp_path) as over:
        run.call(["mount", "-t", "proc", "proc", str(over / "proc")])
        try:
            inside(over, "systemd-tmpfiles", "--create", "worker-site-homes.conf")
        finally:
            run.call(["umount", str(over / "proc")])
        assert owner(over, "/home/alice") == ("alice:alice", 0o700)


def test_services_have_their_state_for_the_next_boot(root: Path) -> None:
    def state(unit: str) -> str:
        done = run.call(["chroot", str(root), "systemctl", "is-enabled", unit], expect=(0, 1))
        return done.stdout.strip()

    units = ("site-agent.service", "systemd-timesyncd.service", "e2scrub_all.timer")
    assert [state(unit) for unit in units] == ["enabled", "disabled", "masked"]


def test_sysctl_reads_the_parameters(root: Path) -> None:
    assert (
        "net.core.somaxconn = 4096\nvm.swappiness = 10\n"
        in (root / "etc/sysctl.d/60-site.conf").read_text()
    )
    assert "60-site.conf" in inside(root, "systemd-analyze", "cat-config", "sysctl.d")


def boot_files(image: Path, folder: Path) -> dict[str, str]:
    """The configurations of the boot loader on the EFI system partition."""
    disk = folder / "boot.raw"
    qemu_img.to_raw(image, disk)
    start = next(one.start for one in partitions(disk) if one.file_system == "vfat")
    where, env = f"{disk}@@{start}", {**os.environ, "MTOOLS_SKIP_CHECK": "1"}
    names = run.call(["mdir", "-/", "-b", "-i", where, "::"], env=env).stdout.split()
    wanted = [name for name in names if name.endswith(("grub.cfg", ".conf"))]
    found = {name: run.call(["mtype", "-i", where, name], env=env).stdout for name in wanted}
    disk.unlink()
    return found


def test_every_entry_of_the_boot_loader_has_the_arguments_once(baked_site: Site, tmp_path: Path) -> None:
    files = boot_files(baked_site.image, tmp_path)
    linux = [row for row in files["::/grub/grub.cfg"].splitlines() if row.split()[:1] == ["linux"]]
    assert len(linux) == 1
    assert isinstance(BASE.source, Build)
    own = " ".join(BASE.source.kernel_command_line)
    assert linux[0].endswith(f" {own}{ARGUMENTS}")
    (entry,) = [text for name, text in files.items() if name.startswith("::/loader/entries/")]
    (options,) = [row for row in entry.splitlines() if row.startswith("options ")]
    assert options.endswith(f" {own}{ARGUMENTS}")
    before = boot_files(baked_site.store.base(BASE.id), tmp_path)
    assert {name: text.replace(ARGUMENTS, "") for name, text in files.items()} == before


def test_programs_trust_the_authority(root: Path, baked_site: Site, tmp_path: Path) -> None:
    ((_, pem),) = baked_site.own.ca_certificates
    assert pem.decode() in (root / "etc/ssl/certs/ca-certificates.crt").read_text()
    (tmp_path / "ca.pem").write_bytes(pem)
    bundle = ["-CAfile", str(root / "etc/ssl/certs/ca-certificates.crt")]
    said = run.call(["openssl", "verify", *bundle, str(tmp_path / "ca.pem")]).stdout
    assert said.strip().endswith(": OK")


def test_commands_ran_in_their_phases(root: Path) -> None:
    assert (root / "etc/site-base").read_text() == "none\n"  # HTCondor was not there yet
    assert (root / "etc/site-agent").read_text() == "the agent\n"
    conf, script = (root / "etc/site-final").read_text().splitlines()
    assert conf == "server = monitor.site.example"
    assert script.startswith("/var/tmp/")
    assert list((root / "var/tmp").iterdir()) == []


def test_the_worker_has_the_defaults(root: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, '/usr/lib/worker-bakery')\n"
        "from worker_runtime.configuration import kind, worker_file\n"
        "found = worker_file.parse(b'Token = abc', kind.load().keys, 'conf')\n"
        "print(found.values['IdleTimeout'], found.values['CentralManager'], found.values['Start'])\n"
        "print(found.problems)\n"
        "print(worker_file.parse(b'IdleTimeout = 7', kind.load().keys, 'conf').values['IdleTimeout'])\n"
    )
    said = inside(root, "python3", "-B", "-c", script).splitlines()
    assert said == ['600 cm.site.example TARGET.ProjectName == "TG-SITE01"', "()", "7"]


def test_htcondor_has_the_settings(root: Path) -> None:
    assert inside(root, "condor_config_val", "WORKER_GUARDS") == "TARGET.RequestMemory < 64000"
    assert inside(root, "condor_config_val", "SITE_NOTE").startswith("a value, with ")
    assert "45-site.config" in inside(root, "condor_config_val", "-verbose", "WORKER_GUARDS")


def test_the_image_has_the_name_of_its_definition(root: Path, baked_site: Site) -> None:
    found = json.loads((root / "usr/lib/worker-bakery/definition.json").read_text())
    assert (found["name"], found["version"]) == ("example-worker", "2026.11")
    renamed = replace(baked_site.own, name="another")
    _, other = make_plan(replace(baked_site.options, customization=renamed))
    assert other.id != baked_site.plan.id


def test_disk_partition_and_file_system_are_enlarged(baked_site: Site, root: Path, tmp_path: Path) -> None:
    assert qemu_img.virtual_size(baked_site.image) == SIZE
    disk = tmp_path / "disk.raw"
    tables = []
    for image in (baked_site.image, baked_site.store.base(BASE.id)):
        qemu_img.to_raw(image, disk)
        assert "No errors detected." in run.call(["sfdisk", "--verify", str(disk)]).stdout
        tables.append(partitions(disk))
        disk.unlink()
    after, before = tables
    assert after[:-1] == before[:-1]
    assert replace(after[-1], size=before[-1].size) == before[-1]  # type, names and ids are the same
    assert SIZE - after[-1].start - after[-1].size < 2 << 20
    found = os.statvfs(root)
    assert found.f_blocks * found.f_frsize > 0.95 * after[-1].size


def test_a_size_below_that_of_the_base_is_refused(baked_site: Site) -> None:
    smaller = replace(baked_site.options, customization=Customization(root_size=1 << 30))
    with pytest.raises(BadInput, match=r"root size of 1\.0 GiB is not possible"):
        lookup.bake(smaller, baked_site.store, Silent())


def twice(plan: Plan) -> Plan:
    """The plan with all steps of the site applied twice; the name of the image stays."""
    kept = [step for step in plan.steps if step.title != STAMP]
    last = max(n for n, step in enumerate(kept) if step.role == "site") + 1
    again = [step for step in kept if step.role in ("site_base", "site")]
    steps: list[PlannedStep] = []
    before = plan.id_after(0)
    for step in [*kept[:last], *again, *plan.steps[last:]]:
        before = chained_id(before, step.actions)
        steps.append(replace(step, id=before, role="site" if step in again else step.role))
    return replace(plan, steps=tuple(steps))


def test_the_steps_of_the_site_applied_twice_change_nothing(baked_site: Site, tmp_path: Path) -> None:
    (url,) = baked_site.options.replaced.urls.values()
    repositories = chroot.Repositories("trixie", find_mirror().sources("trixie"), urls={"site-tools": url})
    with work_folder(baked_site.store) as work:
        disk = chroot.bake(twice(baked_site.plan), baked_site.store, repositories, work, Silent()).disk
        done = command("worker-bakery", "diff", "--json", str(baked_site.image), str(disk))
        assert boot_files(disk, tmp_path) == boot_files(baked_site.image, tmp_path)
    found = json.loads(done.out)
    assert (done.status, found["differences"]) == (0, []), done.err[-3000:]


def test_a_failing_script_fails_the_bake_and_names_the_command(baked_site: Site) -> None:
    failing = SiteCommand("break it", script=b"#!/bin/sh\necho no such license >&2\nexit 7\n")
    own = replace(baked_site.own, commands=(*baked_site.own.commands, failing))
    with pytest.raises(BakeryError, match="no such license") as caught:
        lookup.bake(replace(baked_site.options, customization=own), baked_site.store, Silent())
    assert caught.value.where == "site: break it"
