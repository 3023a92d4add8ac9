"""What an optional role promises, where the image has it; and that nothing is half there."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.offline


def test_htcondor_finds_apptainer_if_there_is_one(host: Any) -> None:
    program = host.check_output("condor_config_val SINGULARITY")
    assert host.file(program).exists == host.package("apptainer").is_installed


@pytest.mark.parametrize(
    "path", ["/usr/bin/squashfuse", "/usr/bin/unsquashfs", "/usr/libexec/condor/exit_37.sif"]
)
def test_apptainer_comes_with_what_image_files_need(host: Any, path: str) -> None:
    assert host.file(path).exists or not host.package("apptainer").is_installed


@pytest.mark.parametrize("path", ["/etc/cvmfs/default.local", "/etc/auto.master.d/cvmfs.autofs"])
def test_cvmfs_is_configured_if_there_is_one(host: Any, path: str) -> None:
    assert host.file(path).exists == host.package("cvmfs").is_installed


@pytest.mark.machine
def test_autofs_starts_at_boot_if_there_is_cvmfs(host: Any) -> None:
    state = host.run("systemctl is-enabled autofs.service").stdout.strip()
    assert (state == "enabled") == host.package("cvmfs").is_installed


def test_what_the_ospool_asks_for_is_tried_where_it_is_known(host: Any) -> None:
    there = host.file("/usr/lib/worker-bakery/ospool.json").exists
    assert ("OSPOOL" in host.check_output("condor_config_val STARTD_CRON_JOBLIST").split()) == there
    assert host.run("condor_config_val WORKER_POOL_GUARDS").succeeded == there


def test_udocker_comes_with_its_engine(host: Any) -> None:
    there = [host.file(path).exists for path in ("/usr/bin/udocker", "/usr/bin/proot", "/etc/udocker.conf")]
    assert there in ([True] * 3, [False] * 3)
