"""Package repositories, and the steps that define one on a base and trust its keys.

Packages are checked against keys in the plan, so a mirror cannot add packages of its own. On EL each
package is signed; with apt, the list of packages is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from provisioner.steps import FetchKey, File, Files, Manager, PackageLists, Step, TrustKeys

YUM = "/etc/yum.repos.d"
# The seal removes apt sources, except those with this prefix.
APT = "/etc/apt/sources.list.d/worker-"
_RPM_KEYS = "/etc/pki/rpm-gpg/RPM-GPG-KEY-"
_APT_KEYS = "/etc/apt/keyrings/"


@dataclass(frozen=True)
class Key:
    """An OpenPGP key: `armored`, or fetched from `url` and checked against `fingerprint`.

    For a key that the vendor's image contains, `name` is its absolute path and the other fields are empty.
    """

    name: str
    armored: bytes = b""
    url: str = ""
    fingerprint: str = ""

    def path(self, manager: Manager) -> str:
        """The path of the key file in the image."""
        if self.name.startswith("/"):
            return self.name
        return f"{_APT_KEYS}{self.name}.asc" if manager == "apt" else f"{_RPM_KEYS}{self.name}"


@dataclass(frozen=True)
class Repository:
    """A repository that the role `role` requires. `id` is its name for users.

    `url` is a baseurl of yum.conf(5) or, with a `suite`, a URI of sources.list(5).
    """

    id: str
    role: str
    file: str
    title: str
    url: str
    keys: tuple[Key, ...]
    suite: str = ""
    exclude: str = ""  # packages to ignore, in the syntax of yum.conf(5)
    components: str = "main"  # of apt; a flat repository, whose suite ends with a slash, has none


def add(repositories: Sequence[Repository], role: str, manager: Manager) -> tuple[Step, ...]:
    """The steps that add the repositories of this role; empty if it has none."""
    needed = [repository for repository in repositories if repository.role == role]
    if not needed:
        return ()
    keys = sorted({key for repository in needed for key in repository.keys}, key=lambda key: key.name)
    paths = tuple(key.path(manager) for key in keys)
    brought = tuple(File(key.path(manager), key.armored) for key in keys if key.armored)
    names = ", ".join(repository.id for repository in needed)
    files = _apt_files(needed) if manager == "apt" else _yum_files(needed)
    return (
        *((Files(f"install the keys of {names}", brought),) if brought else ()),
        *(FetchKey(key.url, key.path(manager), key.fingerprint) for key in keys if key.url),
        *((TrustKeys(paths),) if manager != "apt" else ()),
        Files(f"define the repositories {names}", tuple(files)),
        *(() if role == "base" else (PackageLists(manager),)),  # base refreshes them anyway
    )


def _yum_files(needed: Sequence[Repository]) -> list[File]:
    ordered = sorted(needed, key=lambda repository: repository.file)
    return [
        File(f"{YUM}/{name}.repo", "\n".join(map(yum_section, members)).encode())
        for name, members in groupby(ordered, key=lambda repository: repository.file)
    ]


def yum_section(repository: Repository) -> str:
    """A section of a .repo file, see yum.conf(5)."""
    rows = {
        "name": repository.title,
        "baseurl": repository.url,
        "enabled": "1",
        "gpgcheck": "1",
        "gpgkey": " ".join(f"file://{key.path('yum')}" for key in repository.keys),
        "skip_if_unavailable": "0",
        **({"exclude": repository.exclude} if repository.exclude else {}),
    }
    return "".join([f"[{repository.id}]\n", *(f"{name}={value}\n" for name, value in rows.items())])


def _apt_files(needed: Sequence[Repository]) -> list[File]:
    return [File(f"{APT}{repository.id}.sources", apt_entry(repository).encode()) for repository in needed]


def apt_entry(repository: Repository) -> str:
    """A deb822 entry, see sources.list(5)."""
    rows = {
        "Types": "deb",
        "URIs": repository.url,
        "Suites": repository.suite,
        **({} if repository.suite.endswith("/") else {"Components": repository.components}),
        "Signed-By": " ".join(key.path("apt") for key in repository.keys),
    }
    return "".join(f"{name}: {value}\n" for name, value in rows.items())
