"""Containers for jobs: apptainer, as it is without set-user-ID; slots that have it say HasSingularity."""

from __future__ import annotations

from provisioner.roles import Context
from provisioner.steps import PackageLists, Packages, Step


def apptainer(context: Context) -> tuple[Step, ...]:
    # Debian's HTCondor has SINGULARITY = /usr/bin/singularity, a name that Debian's apptainer takes
    # by update-alternatives: nothing is left to configure.
    return (PackageLists("apt"), Packages("apt", frozenset({"apptainer"})))
