"""Install apptainer (without set-user-ID) for containers in jobs; slots advertise HasSingularity.

HTCondor's default is SINGULARITY = /usr/bin/singularity. Debian's apptainer provides this name with
update-alternatives, and EPEL's package contains it, so no configuration is needed.
"""

from __future__ import annotations

from provisioner.roles import Context
from provisioner.steps import Command, File, PackageLists, Packages, Step

# HTCondor's starter runs this image; a slot advertises HasSIF, which jobs with SIF images require, if it
# works.
TEST_IMAGE = "/usr/libexec/condor/exit_37.sif"
# The same image as a directory.
_SANDBOX = "/usr/libexec/condor/singularity_test_sandbox"
# HTCondor's own packages contain the image, Debian's does not. apptainer's files for its user go to /tmp.
_MAKE_TEST_IMAGE = f"""\
export APPTAINER_CONFIGDIR=/tmp/apptainer APPTAINER_CACHEDIR=/tmp/apptainer
test -e {TEST_IMAGE} || apptainer --silent build {TEST_IMAGE} {_SANDBOX}
"""


# By default, the kernel of EL7 does not allow users to create user namespaces.
_NAMESPACES = b"# For apptainer, which is not set-user-ID.\nuser.max_user_namespaces = 15000\n"


def apptainer(context: Context) -> tuple[Step, ...]:
    """The steps. On EL the packages are from EPEL, which the role condor has added."""
    old = context.family == "el7"
    return (
        PackageLists(context.manager),
        # squashfuse mounts SIF images; without it (and without set-user-ID) each job would unpack its
        # image.
        Packages(context.manager, frozenset({"apptainer", "squashfuse"})),
        *((File("/etc/sysctl.d/90-worker-apptainer.conf", _NAMESPACES),) if old else ()),
        Command("build HTCondor's SIF test image", ("sh", "-ec", _MAKE_TEST_IMAGE)),
    )
