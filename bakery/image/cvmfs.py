"""The options of the role cvmfs, checked: a shell on the worker reads what is made of them."""

from __future__ import annotations

import re
from collections.abc import Collection

from provisioner.errors import BadInput
from provisioner.roles import NO_CVMFS, CvmfsClient

# Whole names, as they stand under /cvmfs.
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9-]+)+")
# Of CVMFS_HTTP_PROXY: URLs, hosts, DIRECT and auto; `|` between equal ones, `;` between groups.
_PROXY = re.compile(r"[A-Za-z0-9.:/|;_\[\]-]+")
_LEAST_QUOTA = 1000  # MB; CVMFS's own advice is not to go below


# What --with ospool mounts unless told otherwise: the OSPool's software and its containers.
_OSPOOL = ("oasis.opensciencegrid.org", "singularity.opensciencegrid.org")


def client(
    roles: Collection[str], repositories: str | None, proxy: str | None, quota: int | None
) -> CvmfsClient:
    """Of `--with cvmfs`, or ospool, and its options, None where not given. Raises BadInput."""
    if not {"cvmfs", "ospool"} & set(roles):
        if (repositories, proxy, quota) != (None, None, None):
            raise BadInput("There are options for CVMFS, but not CVMFS itself.", "Add --with cvmfs.")
        return NO_CVMFS
    names = tuple(name.strip() for name in (repositories or "").split(",") if name.strip())
    if not names and "ospool" in roles:
        names = _OSPOOL
    if not names:
        raise BadInput(
            "--with cvmfs does not say which repositories.",
            "Name them: --cvmfs-repositories atlas.cern.ch,cms.cern.ch.",
        )
    _check(names, proxy, quota)
    return CvmfsClient(names, proxy or "", CvmfsClient.quota if quota is None else quota)


def _check(names: tuple[str, ...], proxy: str | None, quota: int | None) -> None:
    for name in names:
        if not _REPOSITORY.fullmatch(name):
            raise BadInput(f"No CVMFS repository is called {name!r}.", "Give whole names: atlas.cern.ch.")
    if proxy is not None and not _PROXY.fullmatch(proxy):
        raise BadInput(
            "--cvmfs-proxy is not of the form of CVMFS_HTTP_PROXY, or has a password.",
            "For example 'http://squid.example.org:3128;DIRECT'.",
        )
    if quota is not None and quota < _LEAST_QUOTA:
        raise BadInput(f"--cvmfs-quota is at least {_LEAST_QUOTA} MB.", "4000 is the default.")
