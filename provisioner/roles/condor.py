"""Install and configure HTCondor as an execute node, without secrets, and not started at boot."""

from __future__ import annotations

from provisioner.packages import repositories
from provisioner.roles import Context
from provisioner.steps import Command, Directory, Files, Packages, Service, Step

# A repository with libraries that EPEL's packages depend on; it is defined, but disabled. It is enabled by
# editing its file, because not every image has dnf's config-manager plugin.
_ENABLE = """\
file=$(grep -l '^\\[{id}\\]' /etc/yum.repos.d/*.repo)
sed -i '/^\\[{id}\\]/,/^\\[/ s/^enabled *=.*/enabled=1/' "$file"
"""
CODEREADY_BUILDER = {"el8": "powertools", "el9": "crb", "el10": "crb"}


def condor(context: Context) -> tuple[Step, ...]:
    """The steps: repositories, package, directories, configuration of worker/."""
    return (
        *_codeready_builder(context),
        # Debian 13 has HTCondor 23.9 itself and needs no other repository.
        *repositories.add(context.repositories, "condor", context.manager),
        Packages(context.manager, frozenset({"condor"})),
        Service("condor.service", "disable"),
        Directory("/etc/condor/tokens.d", 0o700),
        Directory("/etc/condor/passwords.d", 0o700),
        Files("configure HTCondor as a worker", context.files_under("/etc/condor")),
    )


def _codeready_builder(context: Context) -> tuple[Step, ...]:
    name = CODEREADY_BUILDER.get(context.family)
    if name is None:
        return ()
    return (Command(f"enable the repository {name}", ("sh", "-ec", _ENABLE.format(id=name))),)
