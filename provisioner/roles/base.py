"""The machine before it is a worker: quiet while being built, current, and with what all workers need."""

from __future__ import annotations

from provisioner.roles import Context
from provisioner.steps import File, Packages, Refresh, Service, Step

# Asked by Debian's maintainer scripts before they start a service; the seal removes it.
POLICY = "/usr/sbin/policy-rc.d"


def base(context: Context) -> tuple[Step, ...]:
    return (
        File(
            POLICY,
            b"#!/bin/sh\n# no service starts while the image is being built\nexit 101\n",
            0o755,
        ),
        Refresh("apt"),
        # libnss-myhostname: a host name nobody can resolve delays HTCondor's start by minutes.
        # libpam-systemd: without it nobody knows who is logged in, and could be cut off.
        Packages(
            "apt",
            frozenset({"libnss-myhostname", "libpam-systemd", "nftables", "procps", "python3"}),
        ),
        # A worker lives for hours and is replaced, not upgraded: no job shares it with apt.
        Service("apt-daily.timer", "mask"),
        Service("apt-daily-upgrade.timer", "mask"),
    )
