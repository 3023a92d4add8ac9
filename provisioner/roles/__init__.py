"""Roles: pure functions from a context to steps. Distributions differ here, not on the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from provisioner.packages.repositories import Repository
from provisioner.steps import File, Manager

# Systems that differ in what a role has to do; an EL by its major release.
Family = Literal["debian", "ubuntu", "el7", "el8", "el9", "el10"]
FAMILIES: tuple[Family, ...] = get_args(Family)


@dataclass(frozen=True)
class CvmfsClient:
    """What the role cvmfs is told; `quota` is of its cache, in MB as CVMFS_QUOTA_LIMIT takes it."""

    repositories: tuple[str, ...] = ()
    proxy: str = ""  # as CVMFS_HTTP_PROXY takes it; "": what it finds, or none
    quota: int = 4000


NO_CVMFS = CvmfsClient()


class Pelican(NamedTuple):
    """Pelican's client as it was given: a program, an archive of a release or a Debian package."""

    form: Literal["program", "archive", "package"]
    data: bytes


@dataclass(frozen=True)
class Context:
    """What a role may look at: the base's family and the files of worker/ that go into the image."""

    family: Family
    files: tuple[File, ...] = ()
    cvmfs: CvmfsClient = NO_CVMFS
    repositories: tuple[Repository, ...] = ()  # of this base, for all roles
    udocker: tuple[File, ...] = ()  # its program, from wherever it comes
    ospool: tuple[File, ...] = ()  # of worker/ospool
    pelican: Pelican | None = None  # as it was given
    boots: bool = True  # else it becomes a container

    @property
    def manager(self) -> Manager:
        if self.family in ("debian", "ubuntu"):
            return "apt"
        return "yum" if self.family == "el7" else "dnf"

    @property
    def is_el(self) -> bool:
        return self.manager != "apt"

    def files_under(self, folder: str) -> tuple[File, ...]:
        return tuple(file for file in self.files if _is_under(file, folder))

    def files_not_under(self, folder: str) -> tuple[File, ...]:
        return tuple(file for file in self.files if not _is_under(file, folder))


def _is_under(file: File, folder: str) -> bool:
    return file.path.startswith(f"{folder.rstrip('/')}/")
