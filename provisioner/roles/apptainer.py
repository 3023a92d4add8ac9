"""Containers for jobs: apptainer, as it is without set-user-ID; slots that have it say HasSingularity.

HTCondor has SINGULARITY = /usr/bin/singularity, a name that Debian's apptainer takes by update-alternatives
and EPEL's brings: there is nothing to configure.
"""

from __future__ import annotations

from provisioner.roles import Context
from provisioner.steps import Command, File, PackageLists, Packages, Step

# HTCondor's starter runs it, and only where that works says HasSIF, which jobs with SIF images ask for.
TEST_IMAGE = "/usr/libexec/condor/exit_37.sif"
# The same as a directory.
_SANDBOX = "/usr/libexec/condor/singularity_test_sandbox"
# HTCondor's own packages have it, Debian's has not. What apptainer keeps for its user is not kept.
_MAKE_TEST_IMAGE = f"""\
export APPTAINER_CONFIGDIR=/tmp/apptainer APPTAINER_CACHEDIR=/tmp/apptainer
test -e {TEST_IMAGE} || apptainer --silent build {TEST_IMAGE} {_SANDBOX}
"""


# EL7's kernel lets nobody but root make user namespaces until it is told otherwise.
_NAMESPACES = b"# For apptainer, which is not set-user-ID.\nuser.max_user_namespaces = 15000\n"


def apptainer(context: Context) -> tuple[Step, ...]:
    """On EL both are EPEL's, which the role condor has added."""
    old = context.family == "el7"
    return (
        PackageLists(context.manager),
        # squashfuse: without set-user-ID, and without it, each job would unpack its image first.
        Packages(context.manager, frozenset({"apptainer", "squashfuse"})),
        *((File("/etc/sysctl.d/90-worker-apptainer.conf", _NAMESPACES),) if old else ()),
        Command("make HTCondor's test of SIF images", ("sh", "-ec", _MAKE_TEST_IMAGE)),
    )
