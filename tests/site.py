"""A customization with every addition that there is, as a definition file would give it."""

from __future__ import annotations

from provisioner.packages.repositories import Key, Repository
from provisioner.roles.customization import Customization, SiteCommand, SiteFile, User

# The image contains it; the bake reads a repository on loopback in its place.
URL = "http://packages.site.example/debian"
NOTE_BASE = "test -e /etc/site-base || { command -v condor_master || echo none; } >/etc/site-base"
NOTE_AGENT = b"#!/bin/sh\nset -e\nsite-agent >/etc/site-agent\n"
NOTE_END = b"#!/bin/sh\nset -e\ncat /etc/site/agent.conf >/etc/site-final\necho $0 >>/etc/site-final\n"
SETUID = b"#!/bin/sh\nid -u\n"


def repository(key: bytes, suite: str = "./") -> Repository:
    return Repository(
        "site-tools", "site", "site-tools", "Tools of the site", URL, (Key("site-tools", key),), suite
    )


def full(
    repositories: tuple[Repository, ...], authority: bytes, *, boots: bool = True, size: int = 6 << 30
) -> Customization:
    """Without `boots`, what a container can have of it."""
    agent = User("agent", home="/var/lib/agent", system=True)
    alice = User("alice", uid=1234, groups=("site", "adm"), shell="/bin/sh")
    return Customization(
        name="example-worker",
        version="2026.11",
        packages=("site-agent",),
        repositories=repositories,
        files=(
            SiteFile("/etc/site/agent.conf", b"server = monitor.site.example\n"),
            SiteFile("/etc/site/agent.private", b"\xff\xfe", 0o640, "agent:site"),
            SiteFile("/opt/site/bin/whoami", SETUID, 0o4755, "agent:agent"),
        ),
        users=(agent, alice),
        services=(
            ("site-agent.service", "enable"),
            ("systemd-timesyncd.service", "disable"),
            ("e2scrub_all.timer", "mask"),
        )
        if boots
        else (("e2scrub_all.timer", "mask"),),
        sysctl=(("net.core.somaxconn", "4096"), ("vm.swappiness", "10")) if boots else (),
        kernel_arguments=("mitigations=auto,nosmt", "site.tag=example") if boots else (),
        ca_certificates=(("site-ca", authority),),
        commands=(
            SiteCommand("note the base", ("sh", "-c", NOTE_BASE), phase="base"),
            SiteCommand("note the agent", script=NOTE_AGENT, phase="packages"),
            SiteCommand("note the end", script=NOTE_END),
        ),
        worker=(
            ("CentralManager", "cm.site.example"),
            ("IdleTimeout", "600"),
            ("Start", 'TARGET.ProjectName == "TG-SITE01"'),
        ),
        condor=(
            ("WORKER_GUARDS", "TARGET.RequestMemory < 64000"),
            ("SITE_NOTE", "a value, with $(FULL_HOSTNAME)"),
        ),
        root_size=size if boots else 0,
    )
