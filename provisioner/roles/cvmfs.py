"""Install the CVMFS client, mounted by autofs. The health probe checks each of its repositories."""

from __future__ import annotations

from provisioner.packages import repositories
from provisioner.roles import Context, CvmfsClient
from provisioner.steps import File, PackageLists, Packages, Service, Step

SETTINGS = "/etc/cvmfs/default.local"
# autofs mounts a repository at its first access, which is by the health probe.
AFTER_AUTOFS = b"""\
[Unit]
Wants=autofs.service
After=autofs.service
"""


def cvmfs(context: Context) -> tuple[Step, ...]:
    """The steps: repository, packages, configuration."""
    return (
        # For bases without such a repository in the plan, users add a temporary one with --apt-source.
        *(
            repositories.add(context.repositories, "cvmfs", context.manager)
            or (PackageLists(context.manager),)
        ),
        # cvmfs depends on cvmfs-config, which has the settings for servers and keys.
        Packages(context.manager, frozenset({"autofs", "cvmfs"})),
        File(SETTINGS, settings(context.cvmfs).encode()),
        File("/etc/auto.master.d/cvmfs.autofs", b"/cvmfs /etc/auto.cvmfs\n"),
        File("/usr/lib/systemd/system/condor.service.d/70-cvmfs.conf", AFTER_AUTOFS),
        Service("autofs.service", "enable"),
    )


def settings(client: CvmfsClient) -> str:
    """The text of default.local, which /bin/sh reads. The values are validated by bakery/image/cvmfs.py."""
    rows = [
        f"CVMFS_REPOSITORIES='{','.join(client.repositories)}'",
        f"CVMFS_QUOTA_LIMIT='{client.quota}'",
        # The profile `single` discovers a proxy, or uses a content delivery network.
        f"CVMFS_HTTP_PROXY='{client.proxy}'" if client.proxy else "CVMFS_CLIENT_PROFILE='single'",
    ]
    return "".join(f"{row}\n" for row in rows)
