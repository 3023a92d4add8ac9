"""Each optional role is complete in the image or absent."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.offline


def test_htcondor_is_configured_for_apptainer_if_installed(host: Any) -> None:
    program = host.check_output("condor_config_val SINGULARITY")
    assert host.file(program).exists == host.package("apptainer").is_installed


@pytest.mark.parametrize(
    "path", ["/usr/bin/squashfuse", "/usr/bin/unsquashfs", "/usr/libexec/condor/exit_37.sif"]
)
def test_apptainer_has_the_tools_for_image_files_if_installed(host: Any, path: str) -> None:
    assert host.file(path).exists or not host.package("apptainer").is_installed


@pytest.mark.parametrize("path", ["/etc/cvmfs/default.local", "/etc/auto.master.d/cvmfs.autofs"])
def test_cvmfs_is_configured_if_and_only_if_installed(host: Any, path: str) -> None:
    assert host.file(path).exists == host.package("cvmfs").is_installed


@pytest.mark.machine
def test_autofs_starts_at_boot_if_and_only_if_cvmfs_is_installed(host: Any) -> None:
    state = host.run("systemctl is-enabled autofs.service").stdout.strip()
    assert (state == "enabled") == host.package("cvmfs").is_installed


def test_ospool_checks_are_configured_if_and_only_if_the_role_is_present(host: Any) -> None:
    present = host.file("/usr/lib/worker-bakery/ospool.json").exists
    assert ("OSPOOL" in host.check_output("condor_config_val STARTD_CRON_JOBLIST").split()) == present
    assert host.run("condor_config_val WORKER_POOL_GUARDS").succeeded == present


def test_udocker_proot_and_their_configuration_are_all_present_or_all_absent(host: Any) -> None:
    present = [
        host.file(path).exists for path in ("/usr/bin/udocker", "/usr/bin/proot", "/etc/udocker.conf")
    ]
    assert present in ([True] * 3, [False] * 3)
