"""The image has no identity, no account with a password, and no trace of the build machine.

bakery/verify/secrets searches the contents of files and the raw bytes of the disk.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from provisioner.roles.seal import TRACES, Trace, machine_id

pytestmark = pytest.mark.offline


@pytest.mark.parametrize("trace", TRACES, ids=[f"{trace.pattern}: {trace.why}" for trace in TRACES])
def test_no_trace_of_the_build_is_in_the_image(host: Any, trace: Trace) -> None:
    """The command does not redirect to /dev/null: a mounted image has no devices."""
    only = "-type f" if trace.what == "files" else f"-maxdepth 0 ! -path '{trace.spared}'"
    left = host.run(f'for path in {trace.pattern}; do find "$path" {only}; done').stdout
    assert not left, f"{trace.why} in the image: {left}"


def test_machine_id_is_unset_until_the_first_boot(host: Any, system: Any) -> None:
    assert host.file("/etc/machine-id").content_string == machine_id(system.family)


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
