"""The image has no identity, no secret, and no trace of the build machine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from provisioner.roles.seal import TRACES, Trace, machine_id

pytestmark = pytest.mark.offline

# Folders that may have a secret; /usr has files of packages only.
_FOLDERS = "/etc /root /home /var /opt /srv /boot"
_SECRETS = {
    "an HTCondor or other JSON web token": r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.",
    "a private key": "-----BEGIN ([A-Z0-9]+ )?PRIVATE KEY-----",
    "an AWS access key": r"\bAKIA[0-9A-Z]{16}\b",
}


@pytest.mark.parametrize("trace", TRACES, ids=[f"{trace.pattern}: {trace.why}" for trace in TRACES])
def test_no_trace_of_the_build_is_in_the_image(host: Any, trace: Trace) -> None:
    """The command does not redirect to /dev/null: a mounted image has no devices."""
    only = "-type f" if trace.what == "files" else f"-maxdepth 0 ! -path '{trace.spared}'"
    left = host.run(f'for path in {trace.pattern}; do find "$path" {only}; done').stdout
    assert not left, f"{trace.why} in the image: {left}"


def test_machine_id_is_unset_until_the_first_boot(host: Any, system: Any) -> None:
    assert host.file("/etc/machine-id").content_string == machine_id(system.family)


@pytest.mark.parametrize("what", _SECRETS)
def test_no_secret_is_in_the_image(host: Any, what: str) -> None:
    found = host.run("grep -rlIE -- %s " + _FOLDERS, _SECRETS[what])
    assert found.rc == 1, f"{what} is in {found.stdout}{found.stderr}"


def test_no_account_has_a_password(host: Any) -> None:
    hashes = [row.split(":")[1] for row in host.file("/etc/shadow").content_string.splitlines()]
    assert [entry for entry in hashes if entry not in ("*", "!", "!*", "!!")] == []


def test_no_certificate_of_the_build_machine_is_in_the_image(host: Any) -> None:
    """The image trusts the authorities of the distribution and of its definition only."""
    definition = host.file("/usr/lib/worker-bakery/definition.json")
    defined = json.loads(definition.content_string).get("ca_certificates", {}) if definition.exists else {}
    for folder in ("/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors"):
        for path in host.run("find %s -type f", folder).stdout.splitlines():
            assert host.file(path).sha256sum == defined.get(path), path


def test_logs_take_less_than_1_mib(host: Any) -> None:
    assert int(host.check_output("du -s /var/log").split()[0]) < 1024
