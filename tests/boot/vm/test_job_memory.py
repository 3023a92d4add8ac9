"""A job's page cache and its memory where control groups are of version 1.

test_life_vm.py has the same for version 2, in which systemd boots by itself. This one is a machine more,
and for a kernel of today an old-fashioned one: `scripts/test full` has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from bakery import qemu
from bakery.machines.accelerator import Accelerator
from bakery.machines.machine import Machine
from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import Network
from bakery.userdata import render
from bakery.verify.pool import COMPLETED, HELD, Pool
from provisioner import run
from tests.boot.life import JOB, JOIN, conf, submitted, wait_job
from tests.boot.test_life_jobs import source
from tests.boot.vm.test_life_vm import reads_large_files
from tests.boot.vm.test_machine_faults import ESP, GRUB

pytestmark = pytest.mark.full
GROUP, PROJECT = "Legacy", "TG-LEGACY"
# systemd 256 and 257 boot with version 1 only if told so twice.
VERSION_1 = "systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"


@pytest.fixture(scope="module")
def legacy_image(worker_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("legacy")
    disk, config, image = folder / "disk.raw", folder / "grub.cfg", folder / "legacy.qcow2"
    qemu.to_raw(worker_image.path, disk)
    where = f"{disk}@@{ESP}"
    run.call(["mcopy", "-i", where, GRUB, str(config)])
    told, changed = re.subn(r"(?m)^(\s*linux .*)$", rf"\1 {VERSION_1}", config.read_text())
    assert changed
    config.write_text(told)
    run.call(["mcopy", "-o", "-i", where, str(config), GRUB])
    qemu.to_qcow2(disk, image)
    disk.unlink()
    yield Image(image, worker_image.root, worker_image.login)
    image.unlink()


@pytest.fixture(scope="module")
def machine(
    pool: Pool,
    network: Network,
    legacy_image: Image,
    accelerator: Accelerator,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Machine]:
    told = render(conf(pool, GROUP, PROJECT, idle=4 * 3600), "cloud-config")
    needs = Needs("vm", told, "legacy", network, (), accelerator)
    with boot(needs, legacy_image, tmp_path_factory.mktemp("legacy-machine")) as up:
        up.wait_until("the collector knows it", lambda: pool.status(GROUP), 3 * JOIN)
        yield up


def test_what_a_job_reads_is_not_its_memory_and_what_it_takes_is(machine: Machine, pool: Pool) -> None:
    kind = machine.run(["stat", "-f", "-c", "%T", "/sys/fs/cgroup"]).stdout.strip()
    assert kind == "tmpfs", f"control groups are not of version 1: {kind}"
    with submitted(pool, "eat-legacy", PROJECT, source("eat-memory.py")) as eat:
        assert wait_job(machine, pool, eat, (HELD, COMPLETED), 2 * JOB) == HELD
        assert "memory" in pool.about(eat, "HoldReason")[0]
    reads_large_files(machine, pool, "read-legacy", PROJECT)
