"""What a container image has instead of a boot loader, a kernel and systemd."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.offline, pytest.mark.container]


@pytest.mark.parametrize("pattern", ["linux-image-*", "grub-*", "cloud-init", "openssh-server", "systemd"])
def test_what_only_a_machine_needs_is_gone(host: Any, pattern: str) -> None:
    assert "install ok" not in host.run("dpkg-query -W -f '${Status}\\n' %s", pattern).stdout


@pytest.mark.parametrize("folder", ["/boot", "/usr/lib/modules", "/run", "/tmp"])
def test_folder_is_empty(host: Any, folder: str) -> None:
    assert host.run("find %s -mindepth 1", folder).stdout == ""


def test_no_package_is_left_half_removed(host: Any) -> None:
    assert host.check_output("dpkg-query -W -f '${db:Status-Status}\\n' | sort -u") == "installed"


def test_the_entry_point_starts_nothing_without_a_configuration(host: Any) -> None:
    done = host.run("env -i PATH=/usr/bin:/bin /usr/lib/worker-bakery/worker alive")
    assert (done.rc, done.stdout) == (1, "there is no state yet\n")
