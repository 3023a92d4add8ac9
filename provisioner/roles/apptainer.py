"""Containers for jobs: apptainer, as it is without set-user-ID; slots that have it say HasSingularity.

Debian's HTCondor has SINGULARITY = /usr/bin/singularity, a name that Debian's apptainer takes by
update-alternatives: there is nothing to configure.
"""

from __future__ import annotations

from provisioner.roles import Context
from provisioner.steps import Command, PackageLists, Packages, Step

# HTCondor's starter runs it, and only where that works says HasSIF, which jobs with SIF images ask for.
TEST_IMAGE = "/usr/libexec/condor/exit_37.sif"
# The same as a directory.
_SANDBOX = "/usr/libexec/condor/singularity_test_sandbox"
# Debian has no such binary in its package. What apptainer keeps for its user is not kept.
_MAKE_TEST_IMAGE = f"""\
export APPTAINER_CONFIGDIR=/tmp/apptainer APPTAINER_CACHEDIR=/tmp/apptainer
test -e {TEST_IMAGE} || apptainer --silent build {TEST_IMAGE} {_SANDBOX}
"""


def apptainer(context: Context) -> tuple[Step, ...]:
    return (
        PackageLists("apt"),
        # squashfuse: without set-user-ID, and without it, each job would unpack its image first.
        Packages("apt", frozenset({"apptainer", "squashfuse"})),
        Command("make HTCondor's test of SIF images", ("sh", "-ec", _MAKE_TEST_IMAGE)),
    )
