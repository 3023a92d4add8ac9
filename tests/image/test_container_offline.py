"""What a container image has instead of a boot loader, a kernel and systemd."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.offline, pytest.mark.container]


_KERNELS = "linux-image-* kernel kernel-core kernel-modules*"


@pytest.mark.parametrize("patterns", [_KERNELS, "grub-* grub2-*", "cloud-init", "openssh-server"])
def test_what_only_a_machine_needs_is_gone(host: Any, patterns: str, system: Any) -> None:
    assert installed(host, system, patterns) == []


def test_systemd_is_gone_or_others_need_it(host: Any, system: Any) -> None:
    """rpm's packages may ask for it, and HTCondor's does."""
    assert installed(host, system, "systemd") == [] or system.is_el


def installed(host: Any, system: Any, patterns: str) -> list[str]:
    """Packages whose names match any of the patterns; without their shell's help."""
    quoted = " ".join(f"'{pattern}'" for pattern in patterns.split())
    if system.is_el:
        return str(host.check_output(f"rpm -qa {quoted}")).split()
    told = host.run(f"dpkg-query -W -f '${{db:Status-Status}} ${{Package}}\\n' {quoted}").stdout
    return [row for row in told.splitlines() if row.startswith("installed ")]


@pytest.mark.parametrize("folder", ["/boot", "/usr/lib/modules", "/run", "/tmp"])
def test_folder_is_empty(host: Any, folder: str) -> None:
    assert host.run("find %s -mindepth 1", folder).stdout == ""


def test_no_package_is_left_half_removed(host: Any, system: Any) -> None:
    if system.is_el:
        assert host.run("rpm -Va --nofiles --nodigest --nosignature").stdout == ""  # dependencies
    else:
        assert host.check_output("dpkg-query -W -f '${db:Status-Status}\\n' | sort -u") == "installed"


def test_the_entry_point_starts_nothing_without_a_configuration(host: Any) -> None:
    done = host.run("env -i PATH=/usr/bin:/bin /usr/lib/worker-bakery/worker alive")
    assert (done.rc, done.stdout) == (1, "there is no state yet\n")
