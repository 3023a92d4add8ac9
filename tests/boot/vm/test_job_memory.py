"""A job's page cache and its memory: with control groups of version 1, and with HTCondor's newest series.

test_life_vm.py has the same for version 2, as systemd boots by itself, and the image's own HTCondor.
These are two machines more, so `scripts/test full` has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bakery.machines.accelerator import Accelerator
from bakery.machines.machine import Machine
from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import Network, isolated
from bakery.userdata.rendering import render
from bakery.verify.pool import throwaway_pool as pools
from bakery.verify.pool.throwaway_pool import COMPLETED, HELD, Pool
from tests import newer_htcondor
from tests.boot.life import JOB, JOIN, conf, submitted, wait_job
from tests.boot.test_life_jobs import source
from tests.boot.vm.kernel_words import booted_with
from tests.boot.vm.test_life_vm import reads_large_files
from tests.conftest import Folders, mounted

pytestmark = pytest.mark.full
PROJECT = "TG-MEMORY-"
# systemd 256 and 257 boot with version 1 only if told so twice.
VERSION_1 = "systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"


@pytest.fixture(scope="module")
def legacy_image(worker_image: Image, folders: Folders) -> Iterator[Image]:
    with booted_with(VERSION_1, worker_image.path, folders("legacy")) as image:
        yield Image(image, worker_image.root, worker_image.login)


@contextmanager
def joined(
    name: str, image: Image, pool: Pool, network: Network, accelerator: Accelerator, folder: Path
) -> Iterator[Machine]:
    told = render(conf(pool, name, PROJECT + name.upper(), idle=4 * 3600), "cloud-config")
    needs = Needs("vm", told, name, network, (), accelerator)
    with boot(needs, image, folder) as up:
        up.wait_until("the collector knows it", lambda: pool.status(name), 3 * JOIN)
        yield up


def holds_who_takes_and_not_who_reads(machine: Machine, pool: Pool, name: str) -> None:
    project = PROJECT + name.upper()
    with submitted(pool, f"eat-{name}", project, source("eat-memory.py")) as eat:
        assert wait_job(machine, pool, eat, (HELD, COMPLETED), 2 * JOB) == HELD
        assert "memory" in pool.job_attributes(eat, "HoldReason")[0]
    reads_large_files(machine, pool, f"read-{name}", project)


def test_with_control_groups_of_version_1(
    legacy_image: Image, pool: Pool, network: Network, accelerator: Accelerator, tmp_path: Path
) -> None:
    with joined("legacy", legacy_image, pool, network, accelerator, tmp_path) as machine:
        kind = machine.run(["stat", "-f", "-c", "%T", "/sys/fs/cgroup"]).stdout.strip()
        assert kind == "tmpfs", f"control groups are not of version 1: {kind}"
        holds_who_takes_and_not_who_reads(machine, pool, "legacy")


def test_with_the_newest_htcondor(worker_image: Image, accelerator: Accelerator, tmp_path: Path) -> None:
    """In a pool of the same series: 23.9 cannot evaluate WithinResourceLimits of a startd of 25.14.

    (`MappingMethod ?: "" != "Copy"` in it is parsed in another way there, and no job is matched.)
    """
    for name in ("network", "pool", "machine", "root"):
        (tmp_path / name).mkdir()
    with (
        newer_htcondor.upgraded(worker_image.path, tmp_path) as path,
        mounted(path, tmp_path / "root") as root,
        isolated(tmp_path / "network") as network,
        pools.start_in_sandbox(root, tmp_path / "pool", network) as pool,
        joined(
            "newest",
            Image(path, root, worker_image.login),
            pool,
            network,
            accelerator,
            tmp_path / "machine",
        ) as machine,
    ):
        said = machine.run(["condor_version"]).stdout.split()
        assert int(said[1].split(".")[0]) >= 25, said
        holds_who_takes_and_not_who_reads(machine, pool, "newest")
