"""An EL stand-in: real rpm, dnf and systemd where no Enterprise Linux can be reached.

It is the default base with rpm and dnf of Debian's packages, and with what makes an EL of it for a plan:
os-release, a release package with repositories that are gone, kernel tools, SELinux's configuration.
Beside it are repositories made by rpmbuild and createrepo_c, all packages signed with keys made here;
`condor` is the distribution's HTCondor, repacked. rpm and dnf really resolve, check and install.

What is not EL's: the kernel, systemd (257, not 219 or 252), dnf 4 under the name of EL7's yum, and these
stand-ins, which only note what they were told: grubby, semanage, semodule. No SELinux runs here.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bakery.image import bases
from bakery.runtime import mirror, qemu_img
from bakery.store.locks import exclusive_lock
from bakery.store.store import Store
from provisioner.disk.file_systems import mount_root, wait_unmounted
from provisioner.process import run
from provisioner.targets.chroot import Chroot, TemporaryRepositories

BASE = bases.find(bases.DEFAULT)
Release = Literal["7", "9"]
RELEASES: tuple[Release, ...] = ("7", "9")
NOTES = "/var/lib/stand-in"  # what the stand-in programs were told
OURS = "/srv/workshop"  # of the root where packages are made
KEYS = ("vendor", "epel", "htcondor", "stranger")

# Part of systemd on EL, packages of their own on Debian.
_OF_SYSTEMD = ("libnss-myhostname", "libpam-systemd")
_TOOLS = ("rpm", "dnf", "createrepo-c", "gnupg", "policycoreutils", "selinux-utils")
_HIDDEN = ("apt", "apt-get", "dpkg")
DNF_CONF = """\
[main]
gpgcheck=1
installonly_limit=3
clean_requirements_on_remove=True
best=True
skip_if_unavailable=False
"""
_NOTE = f'#!/bin/sh\nmkdir -p {NOTES}\necho "${{0##*/}} $*" >>{NOTES}/told\n'
_GRUBBY = f"""{_NOTE}\
case $1 in
--info=DEFAULT) printf 'index=0\\nargs="ro console=ttyS0"\\nroot="UUID=stand-in"\\n' ;;
--set-default=*) echo "${{1#*=}}" >{NOTES}/default ;;
--default-kernel) cat {NOTES}/default ;;
esac
"""
_CONTEXTS = """\
/.* system_u:object_r:default_t:s0
/etc(/.*)? system_u:object_r:etc_t:s0
/usr/lib/worker-bakery/worker -- system_u:object_r:bin_t:s0
"""
_SELINUX = {
    "/etc/selinux/config": ("SELINUX=enforcing\nSELINUXTYPE=targeted\n", 0o644),
    "/etc/selinux/targeted/contexts/files/file_contexts": (_CONTEXTS, 0o644),
}
# Debian's HTCondor in a package of EL's kind.
_CONDOR_PRE = (
    "getent passwd condor >/dev/null || useradd -r -M -d /var/lib/condor -s /usr/sbin/nologin condor\n"
)
_CONDOR_POST = """\
for folder in /var/lib/condor /var/lib/condor/spool /var/lib/condor/execute /var/log/condor; do
    install -d -m 0755 -o condor -g condor $folder
done
"""
# Kernels of a vendor's image, names without content. The newest is not the last by its letters.
_KERNELS = ("3.10.0-9", "3.10.0-10", "0-rescue-stand-in")
Files = Mapping[str, tuple[str, int]]


@dataclass(frozen=True)
class Standin:
    """`disk` is raw; `repositories` has a folder for each repository, `keys` their armored keys."""

    disk: Path
    repositories: Path
    keys: Path

    def key(self, name: str) -> Path:
        return self.keys / f"{name}.asc"

    def ids(self, release: Release) -> tuple[str, ...]:
        return _OF_RELEASE[release]

    def urls(self, release: Release, server: str) -> dict[str, str]:
        """Of all repositories that a plan for this release reads."""
        return {name: f"{server}/{_FOLDERS.get(name, name)}/" for name in self.ids(release)}


_OF_RELEASE: dict[Release, tuple[str, ...]] = {
    "7": ("base", "updates", "extras", "epel", "htcondor"),
    "9": ("baseos", "appstream", "crb", "epel", "htcondor"),
}
_FOLDERS = {"baseos": "base", "appstream": "updates", "crb": "extras"}


def build(store: Store, work: Path, *, optional: bool = False) -> Standin:
    """Some forty seconds; what is downloaded is kept among the store's packages.

    `optional`: with the repositories cernvm and nvidia, and with what a site's definition asks of others.
    """
    made = _in(work)
    qemu_img.to_raw(store.base(BASE.id), made.disk)
    with mounted(made.disk, work / "building") as root:
        with _workshop(root, store) as workshop:
            workshop.install(*_TOOLS, *_OF_SYSTEMD, *(("curl",) if optional else ()))
            _make_keys(workshop, made)
            _make_packages(workshop)
            if optional:
                _make_optional_packages(workshop)
            _make_repositories(workshop, made, _OPTIONAL if optional else {})
        shutil.rmtree(root / OURS[1:])
    return made


def shared(store: Store, folder: Path) -> Standin:
    """The one in this folder, built by whichever lane of a run is the first to need it."""
    finished, work = folder / "el-standin", folder / "el-standin.new"
    with exclusive_lock(folder):
        if not finished.exists():
            work.mkdir()
            build(store, work)
            work.rename(finished)
    return _in(finished)


def _in(folder: Path) -> Standin:
    return Standin(folder / "standin.raw", folder / "repositories", folder / "keys")


def become(root: Path, release: Release, made: Standin) -> None:
    """Make an EL of this release of the stand-in's root, as a vendor's image would be."""
    for name in _HIDDEN:  # so that nothing is done by them unseen
        (root / "usr/bin" / name).unlink()
    (root / "etc/dnf/dnf.conf").write_text(DNF_CONF)
    if release == "7":
        (root / "usr/bin/dnf").rename(root / "usr/bin/yum")
    unit = root / "usr/lib/systemd/system"
    (unit / "ssh.service").rename(unit / "sshd.service")
    (root / "etc/systemd/system/sshd.service").unlink()
    (root / "etc/systemd/system/multi-user.target.wants/ssh.service").unlink()
    (root / "etc/dnf/vars/releasever").write_text(f"{release}\n")
    for kernel in _KERNELS:
        (root / f"boot/vmlinuz-{kernel}").touch()
    for path, (text, mode) in (_release_files(release, made) | _SELINUX).items():
        put(root, path, text, mode)
    packages = made.repositories / "vendor"
    shutil.copytree(packages, root / "root/vendor")
    inside = ["chroot", str(root)]
    run.call([*inside, "sh", "-ec", "rpm -i --excludedocs /root/vendor/*.rpm"])
    run.call([*inside, "systemctl", "enable", "sshd.service"])
    shutil.rmtree(root / "root/vendor")


def _release_files(release: Release, made: Standin) -> dict[str, tuple[str, int]]:
    name, title = ("centos", "CentOS Linux 7 (Core)") if release == "7" else ("almalinux", "AlmaLinux 9")
    version = "7" if release == "7" else "9.6"
    said = f'NAME="{title}"\nID="{name}"\nVERSION_ID="{version}"\nPRETTY_NAME="{title}, stand-in"\n'
    key = "RPM-GPG-KEY-CentOS-7" if release == "7" else "RPM-GPG-KEY-AlmaLinux-9"
    file = "CentOS-Base" if release == "7" else "almalinux"
    definitions = "\n".join(
        f"[{repository}]\nname={repository}\nmirrorlist=http://mirrorlist.invalid/?repo={repository}\n"
        f"enabled={int(repository != 'crb')}\ngpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/{key}\n"
        for repository in _OF_RELEASE[release][:3]
    )
    return {
        "/usr/lib/os-release": (said, 0o644),  # to which a link leads
        f"/etc/yum.repos.d/{file}.repo": (definitions, 0o644),
        f"/etc/pki/rpm-gpg/{key}": (made.key("vendor").read_text(), 0o644),
    }


def put(root: Path, path: str, text: str, mode: int = 0o644) -> None:
    target = root / path[1:]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)


@contextmanager
def mounted(disk: Path, where: Path) -> Iterator[Path]:
    where.mkdir()
    mount_root(disk, where)
    try:
        yield where
    finally:
        run.call(["umount", str(where)])
        wait_unmounted(disk)
        where.rmdir()


# --- the workshop: the same root, before it looks like an EL -------------------------------------


@dataclass(frozen=True)
class _Workshop:
    root: Path
    target: Chroot

    def run(self, script: str) -> str:
        rows: list[str] = []
        self.target.run(("sh", "-ec", f"export GNUPGHOME={OURS}/gnupg; cd {OURS}\n{script}"), rows.append)
        return "\n".join(rows)

    def install(self, *names: str) -> None:
        apt = "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends"
        self.run(f"{apt} update")
        self.run(f"{apt} install {' '.join(names)}")

    def satisfy(self, name: str) -> None:
        apt = "DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends"
        self.run(f'{apt} satisfy "$(dpkg-deb -f {name}_*.deb Depends)"')

    def path(self, name: str) -> Path:
        return self.root / OURS[1:] / name


@contextmanager
def _workshop(root: Path, store: Store) -> Iterator[_Workshop]:
    packages = store.packages("trixie")
    with exclusive_lock(packages):  # apt allows one writer
        repositories = TemporaryRepositories(
            mirror.find().sources("trixie"), mirror.preferences("trixie"), packages
        )
        (root / OURS[1:]).mkdir(mode=0o755)
        target = Chroot(root, repositories)
        try:
            yield _Workshop(root, target)
        finally:
            target.close()


def _make_keys(workshop: _Workshop, made: Standin) -> None:
    made.keys.mkdir()
    workshop.run("mkdir -m 700 gnupg")
    for name in KEYS:
        workshop.run(
            f"gpg --batch -q --passphrase '' --quick-generate-key {name}@invalid rsa3072 sign never"
        )
        armored = workshop.run(f"gpg --armor --export {name}@invalid")
        made.key(name).write_text(f"{armored}\n")
    workshop.run("gpgconf --kill gpg-agent")


_PLAIN = (
    *("bash", "cloud-init", "e2fsprogs", "procps-ng", "python3", "util-linux"),
    *("grub2-common", "openssh-server", "systemd"),
)
_VMLINUZ = {"/usr/lib/modules/3.10.0-10/vmlinuz": ("", 0o644)}


def _make_packages(workshop: _Workshop) -> None:
    """Those the plans name. What Debian has brought already is a name in rpm's database only."""
    for name in _PLAIN:
        package(workshop, "vendor", name, {})
    package(workshop, "vendor", "grubby", {"/usr/sbin/grubby": (_GRUBBY, 0o755)})
    package(workshop, "vendor", "kernel-core", _VMLINUZ, requires="grubby")
    for name in ("iptables", "nftables", "chrony"):
        _unpack(workshop, name)
    tools = " ".join(f"{program}{verb}" for program in ("iptables", "ip6tables") for verb in _VERBS)
    workshop.run(
        f"cd trees/iptables/usr/sbin; for name in {tools}; do ln -s xtables-legacy-multi $name; done"
    )
    workshop.run("cd trees/chrony/usr/lib/systemd/system; mv chrony.service chronyd.service")
    for name in ("iptables", "nftables", "chrony"):
        _pack(workshop, "base", _Spec(name))
    labelling = "/usr/sbin/setfiles /usr/sbin/restorecon /usr/sbin/selinuxenabled"
    workshop.run(f"for file in {labelling}; do install -D $file trees/policycoreutils$file; done")
    put(workshop.path("trees/policycoreutils"), "/usr/sbin/semodule", _NOTE, 0o755)
    _pack(workshop, "vendor", _Spec("policycoreutils"))
    for name in ("policycoreutils-python", "policycoreutils-python-utils"):
        package(workshop, "base", name, {"/usr/sbin/semanage": (_NOTE, 0o755)})
    package(workshop, "updates", "e2fsprogs", {}, version="2", requires="stand-in-libs")
    package(workshop, "updates", "stand-in-libs", {})
    package(workshop, "extras", "stand-in-extra", {})
    package(workshop, "epel", "squashfuse-stand-in", {})
    _unpack(workshop, "condor")
    # Its module of policy is not in Debian's package.
    workshop.run("install -D /dev/null trees/condor/usr/share/condor/htcondor.pp")
    _pack(workshop, "htcondor", _Spec("condor", "1", "systemd", _CONDOR_PRE, _CONDOR_POST))


_VERBS = ("", "-save", "-restore")  # which Debian links to one of two kinds


def _unpack(workshop: _Workshop, name: str) -> None:
    """The files of a package of Debian's; what they need is installed as Debian's package."""
    workshop.run(f"apt-get -q download {name}; dpkg-deb -x {name}_*.deb trees/{name}")
    # EL has none, and systemd would make links for them.
    workshop.run(f"rm -rf trees/{name}/etc/init.d")
    workshop.satisfy(name)


def package(
    workshop: _Workshop, repository: str, name: str, files: Files, version: str = "1", requires: str = ""
) -> None:
    for path, (text, mode) in files.items():
        put(workshop.path(f"trees/{name}"), path, text, mode)
    workshop.path(f"trees/{name}").mkdir(parents=True, exist_ok=True)
    _pack(workshop, repository, _Spec(name, version, requires))


def _pack(workshop: _Workshop, repository: str, spec: _Spec) -> None:
    """The tree of this name as a package."""
    name, tree = spec.name, workshop.path(f"trees/{spec.name}")
    workshop.path(f"{name}.spec").write_text(spec.text(_listed(tree, workshop.root)))
    defines = {
        "_topdir": f"{OURS}/build",
        "_rpmdir": f"{OURS}/repositories/{repository}",
        "_rpmfilename": "%{NAME}-%{VERSION}.rpm",
        "_binary_payload": "w1.gzdio",
    }
    told = " ".join(f"--define {shlex.quote(f'{key} {value}')}" for key, value in defines.items())
    workshop.run(f"rpmbuild --quiet -bb {told} {name}.spec")
    shutil.rmtree(tree)


def _listed(tree: Path, system: Path) -> Iterable[str]:
    """All files, and the folders that the system does not have without the package."""
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree)
        if path.is_symlink() or not path.is_dir():
            yield f'"/{name}"'
        elif not (system / name).exists():
            yield f'%dir "/{name}"'


@dataclass(frozen=True)
class _Spec:
    """Of a package; `pre` and `post` are its scripts."""

    name: str
    version: str = "1"
    requires: str = ""
    pre: str = ""
    post: str = ""

    def text(self, files: Iterable[str]) -> str:
        listed = "\n".join(files)
        return f"""\
%global debug_package %{{nil}}
%global __os_install_post %{{nil}}
Name: {self.name}
Version: {self.version}
Release: 1
Summary: Made for a test
License: none
AutoReqProv: no
{"Provides: /bin/sh" if self.name == "bash" else ""}
{f"Requires: {self.requires}" if self.requires else ""}
%description
Made for a test.
%install
mkdir -p %{{buildroot}}
cp -a {OURS}/trees/{self.name}/. %{{buildroot}}/
{f"%pre{chr(10)}{self.pre}" if self.pre else ""}
{f"%post{chr(10)}{self.post}" if self.post else ""}
%files
%defattr(-,root,root)
{listed}
"""


# Version 2 of stand-in-extra is a security update; 3 has no advisory.
_ADVISORY = """\
<?xml version="1.0" encoding="UTF-8"?>
<updates>
 <update from="nobody@invalid" status="final" type="security" version="1">
  <id>TEST-2026:2</id><title>stand-in-extra</title>
  <pkglist><collection short="test"><name>test</name>
   <package name="stand-in-extra" version="2" release="1" epoch="0" arch="ARCH" src="x.src.rpm">
    <filename>stand-in-extra-2.rpm</filename>
   </package>
  </collection></pkglist>
 </update>
</updates>
"""


def _make_newer(workshop: _Workshop) -> None:
    """The repository extras as it is later, with two more versions of a package and an advisory."""
    arch = workshop.run("rpm --eval '%{_arch}'").strip()
    for version in ("2", "3"):
        package(workshop, "newer", "stand-in-extra", {}, version=version)
    workshop.path("updateinfo.xml").write_text(_ADVISORY.replace("ARCH", arch))
    workshop.run("rpmsign --define '_gpg_name vendor@invalid' --addsign repositories/newer/*.rpm")
    workshop.run("createrepo_c -q repositories/newer")
    workshop.run("modifyrepo_c updateinfo.xml repositories/newer/repodata")


# What mounts is a folder of the image in the place of a repository.
_AUTO_CVMFS = '#!/bin/sh\n[ -d "/opt/cvmfs/$1" ] && echo "-fstype=bind :/opt/cvmfs/$1"\n'
_BUILD = "/usr/lib/modules/3.10.0-10/build"  # of the kernel for which dkms is to build
# The stream of which `dnf module install` installs the only profile.
_MODULE = """\
---
document: modulemd
version: 2
data:
  name: nvidia-driver
  stream: open-dkms
  version: 1
  context: standin
  arch: ARCH
  summary: Made for a test
  description: Made for a test
  license: {module: [none]}
  profiles:
    default: {rpms: [nvidia-driver]}
  artifacts:
    rpms: ["nvidia-driver-0:1-1.ARCH"]
...
---
document: modulemd-defaults
version: 1
data:
  module: nvidia-driver
  stream: open-dkms
  profiles:
    open-dkms: [default]
...
"""
_OPTIONAL = {"cernvm": "epel", "nvidia": "epel"}  # the keys that sign them


def _make_optional_packages(workshop: _Workshop) -> None:
    _unpack(workshop, "autofs")
    _pack(workshop, "base", _Spec("autofs"))
    package(workshop, "base", "kernel-devel", {_BUILD: ("", 0o644)})
    package(workshop, "vendor", "ca-certificates", {"/usr/bin/update-ca-trust": (_NOTE, 0o755)})
    package(workshop, "base", "tmux", {"/usr/bin/tmux": ("#!/bin/sh\n", 0o755)})
    package(workshop, "epel", "dkms", {"/usr/sbin/dkms": (_NOTE, 0o755)})
    package(workshop, "cernvm", "cvmfs", {"/etc/auto.cvmfs": (_AUTO_CVMFS, 0o755)}, requires="autofs")
    package(workshop, "nvidia", "nvidia-driver", {"/usr/bin/nvidia-smi": ("#!/bin/sh\n", 0o755)})


_OF_VENDOR = ("base", "updates", "extras")
_SIGNED_BY = {**dict.fromkeys(_OF_VENDOR, "vendor"), "epel": "epel", "htcondor": "htcondor"}


def _make_repositories(workshop: _Workshop, made: Standin, optional: Mapping[str, str]) -> None:
    workshop.run("cp -r repositories/extras repositories/newer")
    for name in ("stranger", "unsigned"):
        workshop.run(f"cp -r repositories/htcondor repositories/{name}")
    for repository, key in {**_SIGNED_BY, **optional, "stranger": "stranger"}.items():
        workshop.run(
            f"rpmsign --define '_gpg_name {key}@invalid' --addsign repositories/{repository}/*.rpm"
        )
    for repository in (*_SIGNED_BY, *optional, "stranger", "unsigned"):
        workshop.run(f"createrepo_c -q repositories/{repository}")
    if "nvidia" in optional:
        arch = workshop.run("rpm --eval '%{_arch}'").strip()
        workshop.path("modules.yaml").write_text(_MODULE.replace("ARCH", arch))
        workshop.run("modifyrepo_c --mdtype=modules modules.yaml repositories/nvidia/repodata")
    _make_newer(workshop)
    workshop.run("gpgconf --kill gpg-agent")
    shutil.copytree(workshop.path("repositories"), made.repositories)
