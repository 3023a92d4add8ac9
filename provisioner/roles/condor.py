"""HTCondor as an execute node, installed and configured but with no secret and not started at boot."""

from __future__ import annotations

from provisioner.roles import Context
from provisioner.steps import Directory, Files, Packages, Service, Step


def condor(context: Context) -> tuple[Step, ...]:
    return (
        # Debian 13 carries HTCondor 23.9 itself, so no further repository has to be trusted.
        Packages("apt", frozenset({"condor"})),
        Service("condor.service", "disable"),
        Directory("/etc/condor/tokens.d", 0o700),
        Directory("/etc/condor/passwords.d", 0o700),
        Files("configure HTCondor as a worker", context.files_under("/etc/condor")),
    )
