"""Fixtures of the image tests. `host` is testinfra's: a mounted root, or a booted machine."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provisioner.roles import Family


@dataclass(frozen=True)
class System:
    """Names that differ between distributions."""

    family: Family
    packages: tuple[str, ...]
    ssh_unit: str
    sources: str  # for grep -E: lines of configuration files that name a package source
    tools: tuple[str, ...] = ("nft",)
    machine: tuple[str, ...] = ("cloud-init",)  # packages that a container image lacks

    @property
    def is_el(self) -> bool:
        return self.family.startswith("el")


_EVERYWHERE = ("condor", "python3")
_EL, _EL_MACHINE = (*_EVERYWHERE, "policycoreutils"), ("cloud-init", "chrony")
_YUM, _APT = "^(baseurl|metalink|mirrorlist) *=", "^(URIs:|deb ).*(debian|ubuntu)"
SYSTEMS: dict[Family, System] = {
    "debian": System("debian", (*_EVERYWHERE, "libnss-myhostname", "nftables"), "ssh.service", _APT),
    "ubuntu": System("ubuntu", (*_EVERYWHERE, "libnss-myhostname", "nftables"), "ssh.service", _APT),
    "el7": System("el7", (*_EL, "iptables"), "sshd.service", _YUM, ("iptables", "ip6tables"), _EL_MACHINE),
    "el8": System("el8", (*_EL, "nftables"), "sshd.service", _YUM, machine=_EL_MACHINE),
    "el9": System("el9", (*_EL, "nftables"), "sshd.service", _YUM, machine=_EL_MACHINE),
    "el10": System("el10", (*_EL, "nftables"), "sshd.service", _YUM, machine=_EL_MACHINE),
}


@pytest.fixture(scope="module")
def system(host: Any) -> System:
    """The names of the image's distribution, by its os-release(5)."""
    rows = host.file("/etc/os-release").content_string.splitlines()
    os_release = {name: value.strip('"') for name, _, value in (row.partition("=") for row in rows)}
    if os_release["ID"] in ("debian", "ubuntu"):
        return SYSTEMS[os_release["ID"]]
    [family] = [family for family in SYSTEMS if family == f"el{os_release['VERSION_ID'].split('.')[0]}"]
    return SYSTEMS[family]


@pytest.fixture(scope="module")
def kind(host: Any) -> dict[str, Any]:
    """The kind of worker: `name` of its units and files, `file` that has the user's settings."""
    folder = "/usr/lib/worker-bakery"
    description, table = (
        json.loads(host.file(f"{folder}/{file}.json").content_string) for file in ("kind", "keys")
    )
    return {**description, "file": table["file"]}


@pytest.fixture(scope="session")
def expected() -> dict[str, Any]:
    """The values in the machine's user-data, from a file of mode 0600, because they include the token."""
    values: dict[str, Any] = json.loads(Path(os.environ["WORKER_EXPECTED"]).read_text())
    return values
