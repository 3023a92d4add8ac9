"""The image is nobody's: no identity, no secret, nothing of the machine it was built on."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.roles.seal import TRACES, Trace, machine_id

pytestmark = pytest.mark.offline

# Where a secret could have been left; /usr holds packages only.
_PLACES = "/etc /root /home /var /opt /srv /boot"
_SECRETS = {
    "an HTCondor or other JSON web token": r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.",
    "a private key": "-----BEGIN ([A-Z0-9]+ )?PRIVATE KEY-----",
    "an AWS access key": r"\bAKIA[0-9A-Z]{16}\b",
}


@pytest.mark.parametrize("trace", TRACES, ids=[f"{trace.pattern}: {trace.why}" for trace in TRACES])
def test_trace_is_gone(host: Any, trace: Trace) -> None:
    """No redirection to /dev/null here: a mounted image has no devices, and the shell would give up."""
    only = "-type f" if trace.what == "files" else f"-maxdepth 0 ! -path '{trace.spared}'"
    left = host.run(f'for path in {trace.pattern}; do find "$path" {only}; done').stdout
    assert not left, f"{trace.why} left in the image: {left}"


def test_machine_id_is_for_first_boot(host: Any, system: Any) -> None:
    assert host.file("/etc/machine-id").content_string == machine_id(system.family)


@pytest.mark.parametrize("what", _SECRETS)
def test_no_secret(host: Any, what: str) -> None:
    found = host.run("grep -rlIE -- %s " + _PLACES, _SECRETS[what])
    assert found.rc == 1, f"{what} is in {found.stdout}{found.stderr}"


def test_no_password_is_set(host: Any) -> None:
    hashes = [row.split(":")[1] for row in host.file("/etc/shadow").content_string.splitlines()]
    assert [entry for entry in hashes if entry not in ("*", "!", "!*", "!!")] == []


def test_certificates_are_the_distribution_s(host: Any) -> None:
    """A build machine's own certificate bundle must not follow the packages into the image."""
    for folder in ("/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors"):
        assert host.run("find %s -type f", folder).stdout == ""


def test_logs_are_small(host: Any) -> None:
    assert int(host.check_output("du -s /var/log").split()[0]) < 1024
