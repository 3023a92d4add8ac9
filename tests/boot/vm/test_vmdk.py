"""The image as a vmdk, booted by QEMU from this file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bakery.machines import vm
from bakery.machines.accelerator import Accelerator
from bakery.machines.needs import Image
from bakery.runtime.files import write_private
from bakery.userdata.delivery import nocloud
from bakery.verify.level import LOGIN_LIMIT
from bakery.verify.verification import Request
from provisioner.process import run
from tests.conftest import command

HOSTNAME = "from-a-vmdk"


def settings(image: Path, login: str, accelerator: Accelerator, work: Path) -> vm.Settings:
    """A machine with a seed, whose disk is a layer over the vmdk: QEMU only reads a compressed one."""
    key, seed = vm.new_key(work), work / "seed.iso"
    public = key.with_suffix(".pub").read_text().strip()
    files = nocloud.seed_files(
        user_data="", instance_id="iid-vmdk", hostname=HOSTNAME, public_keys=[public]
    )
    write_private(seed, nocloud.iso(files))
    layer = ["-b", str(image), "-F", "vmdk", str(work / vm.DISK), vm.DISK_SIZE]
    run.call(["qemu-img", "create", "-q", "-f", "qcow2", *layer])
    return vm.Settings(image, seed, vm.Login(login, key), accelerator)


@pytest.mark.full
def test_a_machine_boots_from_the_vmdk_of_an_image(
    worker_image: Image, accelerator: Accelerator, tmp_path: Path
) -> None:
    image = tmp_path / "worker.vmdk"
    done = command("bake-image", "--verify", "offline", "--format", "vmdk", "-o", str(image))
    assert done.status == 0, done.err[-3000:]
    wanted = settings(image, worker_image.login, accelerator, tmp_path)
    with vm.boot(wanted, tmp_path) as machine:
        machine.wait_ssh(Request(image, (), "").boot_seconds * machine.slowdown)
        machine.wait_login(LOGIN_LIMIT * machine.slowdown)
        assert machine.output("hostname") == HOSTNAME
        kind = json.loads(machine.output("cat", "/usr/lib/worker-bakery/kind.json"))
    assert kind == json.loads((worker_image.root / "usr/lib/worker-bakery/kind.json").read_text())
