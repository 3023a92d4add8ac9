"""Validate the options of the role cvmfs: a shell script on the worker uses their values."""

from __future__ import annotations

import re
from collections.abc import Collection

from provisioner.errors import BadInput
from provisioner.roles import NO_CVMFS, CvmfsClient

# Fully qualified names, as under /cvmfs.
REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*(\.[A-Za-z0-9-]+)+")
# CVMFS_HTTP_PROXY: URLs, hosts, DIRECT and auto; `|` within a load-balancing group, `;` between groups.
PROXY = re.compile(r"[A-Za-z0-9.:/|;_\[\]-]+")
MIN_QUOTA = 1000  # MB; the minimum that CVMFS recommends


# The default repositories of --with ospool: the OSPool's software and its containers.
_OSPOOL = ("oasis.opensciencegrid.org", "singularity.opensciencegrid.org")


def client(
    roles: Collection[str], repositories: str | None, proxy: str | None, quota: int | None
) -> CvmfsClient:
    """Return the settings for `--with cvmfs` or ospool; an option is None if not given. Raises BadInput."""
    if not {"cvmfs", "ospool"} & set(roles):
        if (repositories, proxy, quota) != (None, None, None):
            raise BadInput(
                "--cvmfs-repositories, --cvmfs-proxy and --cvmfs-quota require --with cvmfs.",
                "Add --with cvmfs.",
            )
        return NO_CVMFS
    names = tuple(name.strip() for name in (repositories or "").split(",") if name.strip())
    if not names and "ospool" in roles:
        names = _OSPOOL
    if not names:
        raise BadInput(
            "--with cvmfs requires --cvmfs-repositories.",
            "For example --cvmfs-repositories atlas.cern.ch,cms.cern.ch.",
        )
    _check(names, proxy, quota)
    return CvmfsClient(names, proxy or "", CvmfsClient.quota if quota is None else quota)


def _check(names: tuple[str, ...], proxy: str | None, quota: int | None) -> None:
    for name in names:
        if not REPOSITORY.fullmatch(name):
            raise BadInput(
                f"{name!r} is not the name of a CVMFS repository.", "Use full names such as atlas.cern.ch."
            )
    if proxy is not None and not PROXY.fullmatch(proxy):
        raise BadInput(
            "--cvmfs-proxy does not have the format of CVMFS_HTTP_PROXY, or contains a password.",
            "For example 'http://squid.example.org:3128;DIRECT'.",
        )
    if quota is not None and quota < MIN_QUOTA:
        raise BadInput(f"--cvmfs-quota must be at least {MIN_QUOTA} MB.", "The default is 4000.")
