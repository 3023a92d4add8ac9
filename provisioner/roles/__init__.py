"""Roles: pure functions from a context to steps. Differences between distributions are handled here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from provisioner.packages.repositories import Repository
from provisioner.roles.customization import NO_CUSTOMIZATION, Customization
from provisioner.steps import File, Manager

# Distributions for which roles need different steps; EL by major release.
Family = Literal["debian", "ubuntu", "el7", "el8", "el9", "el10"]
FAMILIES: tuple[Family, ...] = get_args(Family)


@dataclass(frozen=True)
class CvmfsClient:
    """The configuration of the CVMFS client."""

    repositories: tuple[str, ...] = ()
    proxy: str = ""  # CVMFS_HTTP_PROXY; "": discover a proxy, or use none
    quota: int = 4000  # CVMFS_QUOTA_LIMIT, the size of the cache in MB


NO_CVMFS = CvmfsClient()


class Pelican(NamedTuple):
    """The Pelican client supplied by the user: a program, a release archive or a Debian package."""

    form: Literal["program", "archive", "package"]
    data: bytes


@dataclass(frozen=True)
class Context:
    """The input of roles: the family of the base, its repositories, and files to install."""

    family: Family
    files: tuple[File, ...] = ()  # of worker/
    cvmfs: CvmfsClient = NO_CVMFS
    repositories: tuple[Repository, ...] = ()  # of this base, for all roles
    udocker: tuple[File, ...] = ()  # the program
    ospool: tuple[File, ...] = ()  # of worker/ospool
    pelican: Pelican | None = None
    boots: bool = True  # False: the image is a container
    customization: Customization = NO_CUSTOMIZATION

    @property
    def manager(self) -> Manager:
        """The package manager of the base."""
        if self.family in ("debian", "ubuntu"):
            return "apt"
        return "yum" if self.family == "el7" else "dnf"

    @property
    def is_el(self) -> bool:
        """Whether the base is an Enterprise Linux (AlmaLinux, CentOS, Rocky …)."""
        return self.manager != "apt"

    def files_under(self, folder: str) -> tuple[File, ...]:
        """The files whose path in the image is below `folder`."""
        return tuple(file for file in self.files if _is_under(file, folder))

    def files_not_under(self, folder: str) -> tuple[File, ...]:
        """All other files."""
        return tuple(file for file in self.files if not _is_under(file, folder))


def _is_under(file: File, folder: str) -> bool:
    return file.path.startswith(f"{folder.rstrip('/')}/")
