"""A spot notice and the power button of a virtual machine: a job ends before the machine does."""

from __future__ import annotations

import pytest

from bakery.machines.accelerator import Accelerator
from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import Network
from bakery.userdata.rendering import render
from bakery.verify.pool.throwaway_pool import Pool
from tests.boot import metadata
from tests.boot.life import JOIN, wait_job
from tests.boot.test_life_ends import OFF, begun, draining
from tests.conftest import Folders

pytestmark = pytest.mark.full  # test_life_ends.py has the same in namespaces

GROUP = "DrainsVirtual"


def test_a_spot_notice_retires_a_virtual_machine(
    pool: Pool, network: Network, worker_image: Image, accelerator: Accelerator, folders: Folders
) -> None:
    user_data = render(draining(pool, GROUP), "cloud-config")
    needs = Needs("vm", user_data, "drains-virtual", network, accelerator=accelerator)
    with (
        metadata.spot(network) as announce,
        boot(needs, worker_image, folders("drains-virtual")) as machine,
    ):
        machine.wait_until("the collector knows it", lambda: bool(pool.status(GROUP)), 3 * JOIN)
        machine.wait_booted()
        job = begun(machine, pool, "virtual", 30)
        announce(600)
        machine.wait_for_console_text("retiring: 1 claimed; spot instance: Amazon announced terminate")
        wait_job(machine, pool, job)
        assert pool.output("virtual") == "done\n"
        machine.wait_powered_off(OFF)
