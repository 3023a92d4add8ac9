"""Temporary package repositories for a running machine that becomes an image.

Their definitions are files on a tmpfs, as in the chroot target (provisioner/targets/chroot.py). Downloaded
packages are on the tmpfs as well, or in a folder that the seal empties.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from provisioner.packages import repository_files
from provisioner.packages.repositories import APT, YUM
from provisioner.plan import Plan
from provisioner.targets import OnLine, Target
from provisioner.targets.chroot import APT_CONF, FOLDER

_LISTS = "/etc/apt/sources.list"
_SETTINGS = ("/etc/yum.conf", "/etc/dnf/dnf.conf")
_MAKE_FOLDER = f"""
set -eu
mkdir -p /{FOLDER}
mountpoint -q /{FOLDER} || mount -t tmpfs -o mode=0755,size=75% tmpfs /{FOLDER}
cd /{FOLDER}
mkdir -p archives/partial lists/partial sources.list.d yum.repos.d
"""
# Prints each line of each file, after its path and a tab.
_PRINT_FILES = r"""
for file; do
    if [ -f "$file" ] && [ ! -L "$file" ]; then set -- "$@" "$file"; fi
    shift
done
if [ $# -gt 0 ]; then awk '{ print FILENAME "\t" $0 }' "$@"; fi
"""
_BIND = f'mountpoint -q "$0" || mount --bind "/{FOLDER}/${{0##*/}}" "$0"'
# SYSTEMD_OFFLINE: systemctl only changes files, as in a chroot. The units of the image are not for this
# machine, and each reload would take ten seconds on an emulated one.
_ENVIRONMENT = (f"APT_CONFIG=/{FOLDER}/apt.conf", "SYSTEMD_OFFLINE=1")


@dataclass(frozen=True)
class TemporaryRepositories:
    """The repositories to use during the build.

    `preferences` is an apt preferences file. `sources` maps each role to deb822 text ("": the machine's own
    sources). `urls` maps repository ids to mirrors, as the machine reaches them.
    """

    preferences: str
    sources: Mapping[str, str]
    urls: Mapping[str, str] = field(default_factory=dict)

    @property
    def mirror(self) -> bool:
        """Whether `sources` replaces the distribution's own apt sources."""
        return all(text.strip() for text in self.sources.values())


@dataclass(frozen=True)
class TargetWithRepositories:
    """A target whose programs use the temporary repositories, including those that the plan defines."""

    machine: Target
    repositories: TemporaryRepositories

    def run(self, argv: tuple[str, ...], on_line: OnLine) -> None:
        self.machine.run(("env", *_ENVIRONMENT, *argv), on_line)

    def put(self, path: str, data: bytes, mode: int) -> None:
        self.machine.put(path, data, mode)
        if repository_files.ids(path, data.decode("utf-8", "replace")):
            _put_all({path: data.decode("utf-8", "replace")}, self.repositories, self.machine)


def add(repositories: TemporaryRepositories, plan: Plan, machine: Target, on_line: OnLine) -> None:
    """Write the temporary definitions to the machine.

    Raises BadInput: a URL is for a repository that neither the machine nor the plan defines.
    """
    machine.run(("sh", "-c", _MAKE_FOLDER), on_line)
    machine.put(f"/{FOLDER}/apt.conf", APT_CONF.encode(), 0o644)
    machine.put(f"/{FOLDER}/preferences", repositories.preferences.encode(), 0o644)
    found = _read((_LISTS, f"{PurePosixPath(APT).parent}/*", f"{YUM}/*.repo", *_SETTINGS), machine)
    own = {path: text for path, text in found.items() if path not in (_LISTS, *_SETTINGS)}
    repository_files.check(repositories.urls, plan, own)
    if _LISTS in found and not repositories.mirror:
        machine.put(f"/{FOLDER}/bake.sources.list", found[_LISTS].encode(), 0o644)
    _put_all(own, repositories, machine)
    for path in _SETTINGS:
        if path in found and repositories.urls:
            _redirect_settings(path, found[path], machine, on_line)


def add_for_role(role: str, repositories: TemporaryRepositories, machine: Target) -> None:
    """Replace the apt sources with those for this role."""
    machine.put(f"/{FOLDER}/sources.list.d/bake.sources", repositories.sources[role].encode(), 0o644)


def _read(patterns: Iterable[str], machine: Target) -> dict[str, str]:
    """The texts of these files of the machine, by path. The machine expands the globs."""
    rows: list[str] = []
    machine.run(("sh", "-c", f"set -- {' '.join(patterns)}\n{_PRINT_FILES}"), rows.append)
    texts: dict[str, str] = {}
    for row in rows:
        path, _, text = row.partition("\t")
        texts[path] = f"{texts.get(path, '')}{text}\n"
    return texts


def _put_all(files: Mapping[str, str], repositories: TemporaryRepositories, machine: Target) -> None:
    for path, text in repository_files.temporary_definitions(
        files, repositories.urls, mirror=repositories.mirror
    ).items():
        machine.put(f"/{FOLDER}/{path}", text.encode(), 0o644)


def _redirect_settings(path: str, text: str, machine: Target, on_line: OnLine) -> None:
    """Bind-mount a yum or dnf configuration that reads the temporary repositories, until shutdown."""
    changed = repository_files.with_main(text, {"reposdir": f"/{FOLDER}/yum.repos.d"})
    machine.put(f"/{FOLDER}/{PurePosixPath(path).name}", changed.encode(), 0o644)
    machine.run(("sh", "-c", _BIND, path), on_line)
