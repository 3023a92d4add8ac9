"""A target that is a root directory. It must run in a sandbox, whose end removes its mounts.

Temporary files for the build (repositories, resolver, package cache) are on a tmpfs or bind mounts, so they
cannot remain in the image.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from provisioner.packages import repository_files
from provisioner.packages.repositories import APT, YUM
from provisioner.process import run
from provisioner.targets import OnLine

FOLDER = "run/worker-bakery"  # of the temporary files, relative to the root
_RESOLVER = "/etc/resolv.conf"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
}
# List-Cleanup: the roles of one bake have different sources, and share the lists.
# unsafe-io: dpkg need not flush each file, because an incomplete disk is discarded.
APT_CONF = f"""\
Dir::Etc::SourceList "/{FOLDER}/bake.sources.list";
Dir::Etc::SourceParts "/{FOLDER}/sources.list.d";
Dir::Etc::Preferences "/{FOLDER}/preferences";
Dir::Cache::Archives "/{FOLDER}/archives";
Dir::State::Lists "/{FOLDER}/lists";
Dir::Cache::pkgcache "/{FOLDER}/pkgcache.bin";
Dir::Cache::srcpkgcache "/{FOLDER}/srcpkgcache.bin";
Acquire::Retries "3";
Acquire::Languages "none";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
APT::Keep-Downloaded-Packages "true";
APT::Get::List-Cleanup "false";
DPkg::Options:: "--force-unsafe-io";
"""
_MIRROR, _MORE = "bake.sources", "more.sources"
_APT_SOURCES = str(PurePosixPath(APT).parent)
_RPM_SETTINGS = {
    "reposdir": f"/{FOLDER}/yum.repos.d",
    "cachedir": f"/{FOLDER}/rpm",
    "keepcache": "1",
}


@dataclass(frozen=True)
class TemporaryRepositories:
    """The repositories and the package cache to use during the build.

    `apt_sources` replaces the guest's own apt sources unless empty; `more_sources` is added to them.
    `repository_urls` maps repository ids to mirrors.
    """

    apt_sources: str  # deb822
    apt_preferences: str
    package_cache: Path
    repository_urls: Mapping[str, str] = field(default_factory=dict)
    more_sources: str = ""  # deb822


class Chroot:
    """Mounts kernel file systems and temporary files below `root`, and runs programs in it with chroot."""

    def __init__(self, root: Path, repositories: TemporaryRepositories) -> None:
        self._root, self._urls = root, repositories.repository_urls
        self._resolver_is_ours = False
        _remove_hidden_files(root)
        mount_kernel_file_systems(root)
        _add_temporary_files(root, repositories)

    def run(self, argv: tuple[str, ...], on_line: OnLine) -> None:
        _write_definitions(self._root, self._urls)  # a previous step may have added one
        self._keep_resolver()
        run.stream(
            ["chroot", str(self._root), *argv],
            on_line,
            env={**ENVIRONMENT, "APT_CONFIG": f"/{FOLDER}/apt.conf"},
        )

    def put(self, path: str, data: bytes, mode: int) -> None:
        target = inside(self._root, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.new")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(data)
            os.fchmod(out.fileno(), mode)
        temporary.rename(target)

    def close(self) -> None:
        """Unmount everything below the root, so that the root itself can be unmounted."""
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        ours = [entry.split()[1] for entry in mounts if entry.split()[1].startswith(f"{self._root}/")]
        run.call(["umount", *reversed(ours)])
        if self._resolver_is_ours:
            inside(self._root, _RESOLVER).unlink()

    def _keep_resolver(self) -> None:
        """A step may change resolv.conf: removing the package systemd-resolved, as for containers, does."""
        if not os.path.lexists(inside(self._root, _RESOLVER)):
            inside(self._root, _RESOLVER).touch()
            self._resolver_is_ours = True
        _add_resolver(self._root)


def inside(root: Path, path: str) -> Path:
    """The path on the host of the guest's `path`; symbolic links are resolved relative to `root`.

    The last component is not resolved. The result never leaves `root`.
    """
    resolved = root
    for part in PurePosixPath(path).parent.parts[1:]:
        step = resolved / part
        if step.is_symlink():
            link = PurePosixPath("/", resolved.relative_to(root), step.readlink())
            resolved = inside(root, str(PurePosixPath(os.path.normpath(link), "x"))).parent
        else:
            resolved = step
    return resolved / PurePosixPath(path).name


def _remove_hidden_files(root: Path) -> None:
    """Remove the base's files in folders that are in memory during the build: no step could remove them."""
    for folder in (root / "run", root / "tmp"):
        if folder.is_dir() and not folder.is_symlink():
            run.call(["find", str(folder), "-xdev", "-mindepth", "1", "-delete"])


def mount_kernel_file_systems(root: Path) -> None:
    """Mount /proc, /sys (read-only), /dev, /run and /tmp below `root`. The caller is in a sandbox."""
    for kind, where, options in (
        ("proc", "proc", "nosuid,nodev,noexec"),
        ("sysfs", "sys", "ro,nosuid,nodev,noexec"),
        ("tmpfs", "dev", "mode=0755,nosuid"),
        ("tmpfs", "run", "mode=0755,nosuid,nodev"),
        ("tmpfs", "tmp", "mode=1777,nosuid,nodev"),
    ):
        run.call(["mount", "-t", kind, "-o", options, kind, str(root / where)])
    for name in _DEVICES:
        (root / "dev" / name).touch()
        _bind(Path("/dev", name), root / "dev" / name)
    for name in ("pts", "shm"):
        (root / "dev" / name).mkdir()
    run.call(
        [
            "mount",
            "-t",
            "devpts",
            "-o",
            "newinstance,ptmxmode=0666",
            "devpts",
            str(root / "dev/pts"),
        ]
    )
    (root / "dev/ptmx").symlink_to("pts/ptmx")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (root / "dev" / name).symlink_to(f"/proc/self/fd/{number}")
    (root / "dev/fd").symlink_to("/proc/self/fd")


def _add_temporary_files(root: Path, repositories: TemporaryRepositories) -> None:
    folder = root / FOLDER
    for name in ("archives", "lists"):
        (repositories.package_cache / name / "partial").mkdir(parents=True, exist_ok=True)
        (folder / name).mkdir(parents=True)
        _bind(repositories.package_cache / name, folder / name)
    (folder / "sources.list.d").mkdir()
    own = inside(root, "/etc/apt/sources.list")
    if repositories.apt_sources:
        (folder / "sources.list.d" / _MIRROR).write_text(repositories.apt_sources)
    elif own.is_file():
        shutil.copyfile(own, folder / "bake.sources.list")
    if repositories.more_sources:
        (folder / "sources.list.d" / _MORE).write_text(repositories.more_sources)
    (folder / "preferences").write_text(repositories.apt_preferences)
    (folder / "apt.conf").write_text(APT_CONF)
    _redirect_rpm_settings(root, repositories.package_cache)
    _add_resolver(root)


def _redirect_rpm_settings(root: Path, package_cache: Path) -> None:
    """Bind-mount yum and dnf configurations that use the temporary repositories and package cache."""
    folder = root / FOLDER
    (folder / "yum.repos.d").mkdir()
    (package_cache / "rpm").mkdir(exist_ok=True)
    (folder / "rpm").mkdir()
    _bind(package_cache / "rpm", folder / "rpm")
    for name in ("/etc/yum.conf", "/etc/dnf/dnf.conf"):
        file = inside(root, name)
        if file.is_file() and not file.is_symlink():
            (folder / file.name).write_text(repository_files.with_main(file.read_text(), _RPM_SETTINGS))
            _bind(folder / file.name, file)


def _write_definitions(root: Path, urls: Mapping[str, str]) -> None:
    """Write the guest's repository definitions with temporary URLs; its own files do not change."""
    mirror = (root / FOLDER / "sources.list.d" / _MIRROR).exists()
    for folder in ("sources.list.d", "yum.repos.d"):
        for old in (root / FOLDER / folder).iterdir():
            if old.name not in (_MIRROR, _MORE):
                old.unlink()
    for name, text in repository_files.temporary_definitions(
        definitions(root), urls, mirror=mirror
    ).items():
        (root / FOLDER / name).write_text(text)


def definitions(root: Path) -> dict[str, str]:
    """The guest's files that define repositories: texts by path."""
    found: dict[str, str] = {}
    for folder in (_APT_SOURCES, YUM):
        for path in filter(Path.is_file, inside(root, f"{folder}/x").parent.glob("*")):
            found[f"{folder}/{path.name}"] = path.read_text("utf-8", "replace")
    return found


def _add_resolver(root: Path) -> None:
    """Have the guest use the resolver of this machine, unless it does already."""
    name, own = inside(root, _RESOLVER), Path(_RESOLVER)
    if name.is_symlink():  # systemd-resolved: a link into /run
        target = inside(root, os.path.normpath(PurePosixPath("/etc", name.readlink())))
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(own, target)
    elif name.exists() and name.read_bytes() != own.read_bytes():
        _bind(own, name)


def _bind(source: Path, where: Path) -> None:
    run.call(["mount", "--bind", str(source), str(where)])
