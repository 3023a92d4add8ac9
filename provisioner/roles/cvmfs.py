"""CVMFS's client, mounted by autofs; the health probe asks for each of its repositories."""

from __future__ import annotations

from provisioner.packages import repositories
from provisioner.roles import Context, CvmfsClient
from provisioner.steps import File, PackageLists, Packages, Service, Step

SETTINGS = "/etc/cvmfs/default.local"
# A repository is mounted by who looks for it, which the health probe does first.
AFTER_AUTOFS = b"""\
[Unit]
Wants=autofs.service
After=autofs.service
"""


def cvmfs(context: Context) -> tuple[Step, ...]:
    return (
        # Where the plan knows of no repository that has it, --apt-source lends one.
        *(
            repositories.add(context.repositories, "cvmfs", context.manager)
            or (PackageLists(context.manager),)
        ),
        # The package of the settings for servers and keys (cvmfs-config) is a dependency of cvmfs.
        Packages(context.manager, frozenset({"autofs", "cvmfs"})),
        File(SETTINGS, settings(context.cvmfs).encode()),
        File("/etc/auto.master.d/cvmfs.autofs", b"/cvmfs /etc/auto.cvmfs\n"),
        File("/usr/lib/systemd/system/condor.service.d/70-cvmfs.conf", AFTER_AUTOFS),
        Service("autofs.service", "enable"),
    )


def settings(client: CvmfsClient) -> str:
    """For /bin/sh, which reads this file; the words are checked where they are given."""
    rows = [
        f"CVMFS_REPOSITORIES='{','.join(client.repositories)}'",
        f"CVMFS_QUOTA_LIMIT='{client.quota}'",
        # The profile of a client for itself finds a proxy, or a content delivery network.
        f"CVMFS_HTTP_PROXY='{client.proxy}'" if client.proxy else "CVMFS_CLIENT_PROFILE='single'",
    ]
    return "".join(f"{row}\n" for row in rows)
