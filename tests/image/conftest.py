"""What every worker image must be. `host` is testinfra's: a mounted root, or a machine over ssh."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra.backend

from bakery.verify import testinfra_backends
from provisioner.roles import Family

testinfra.backend.BACKENDS.update(testinfra_backends.NAMES)


@dataclass(frozen=True)
class System:
    """What is called differently from one distribution to the next."""

    family: Family
    packages: tuple[str, ...]
    ssh_unit: str
    sources: str  # a regular expression of grep -E, of rows in the files that say where packages come from
    tools: tuple[str, ...] = ("nft",)
    machine: tuple[str, ...] = ("cloud-init",)  # packages that a container does not have

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
    """By what the image says of itself, see os-release(5)."""
    rows = host.file("/etc/os-release").content_string.splitlines()
    told = {name: value.strip('"') for name, _, value in (row.partition("=") for row in rows)}
    if told["ID"] in ("debian", "ubuntu"):
        return SYSTEMS[told["ID"]]
    [family] = [family for family in SYSTEMS if family == f"el{told['VERSION_ID'].split('.')[0]}"]
    return SYSTEMS[family]


@pytest.fixture(scope="module")
def kind(host: Any) -> dict[str, Any]:
    """What kind of worker it is: `name` of its units and files, `file` that its user writes."""
    folder = "/usr/lib/worker-bakery"
    told, table = (
        json.loads(host.file(f"{folder}/{file}.json").content_string) for file in ("kind", "keys")
    )
    return {**told, "file": table["file"]}


@pytest.fixture(scope="session")
def expected() -> dict[str, Any]:
    """What the booted machine was told in its user-data; from a 0600 file, for it holds the token."""
    told: dict[str, Any] = json.loads(Path(os.environ["WORKER_EXPECTED"]).read_text())
    return told
