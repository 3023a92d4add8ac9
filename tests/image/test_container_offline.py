"""A container image lacks what only a machine needs, and has the worker's entry point."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.offline, pytest.mark.container]


_KERNELS = "linux-image-* kernel kernel-core kernel-modules*"


@pytest.mark.parametrize("patterns", [_KERNELS, "grub-* grub2-*", "cloud-init", "openssh-server"])
def test_no_package_that_only_a_machine_needs_is_installed(host: Any, patterns: str, system: Any) -> None:
    assert installed(host, system, patterns) == []


def test_systemd_is_installed_on_enterprise_linux_only(host: Any, system: Any) -> None:
    """There, HTCondor's package requires it."""
    assert installed(host, system, "systemd") == [] or system.is_el


def installed(host: Any, system: Any, patterns: str) -> list[str]:
    """Return the installed packages whose names match one of the patterns; the shell expands none."""
    quoted = " ".join(f"'{pattern}'" for pattern in patterns.split())
    if system.is_el:
        return str(host.check_output(f"rpm -qa {quoted}")).split()
    listed = host.run(f"dpkg-query -W -f '${{db:Status-Status}} ${{Package}}\\n' {quoted}").stdout
    return [row for row in listed.splitlines() if row.startswith("installed ")]


@pytest.mark.parametrize("folder", ["/boot", "/usr/lib/modules", "/run", "/tmp"])
def test_folder_is_empty(host: Any, folder: str) -> None:
    assert host.run("find %s -mindepth 1", folder).stdout == ""


def test_no_package_is_half_removed(host: Any, system: Any) -> None:
    if system.is_el:
        assert host.run("rpm -Va --nofiles --nodigest --nosignature").stdout == ""  # dependencies
    else:
        assert host.check_output("dpkg-query -W -f '${db:Status-Status}\\n' | sort -u") == "installed"


def test_docker_run_as_another_user_finds_an_account(host: Any) -> None:
    assert host.user("worker").uid == 1000
    assert host.file("/var/lib/worker").mode == 0o700


def test_accounts_of_jobs_exist_for_a_root_that_is_read_only(host: Any) -> None:
    assert all(host.user(f"slot{number}").exists for number in (0, 1, 64))


def test_entry_point_starts_nothing_without_a_configuration(host: Any) -> None:
    done = host.run("env -i PATH=/usr/bin:/bin /usr/lib/worker-bakery/worker alive")
    assert (done.rc, done.stdout) == (1, "there is no state yet\n")
