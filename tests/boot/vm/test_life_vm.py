"""The whole life once more in a virtual machine, with what namespaces do not have: disks, a kernel.

One machine, told by its cloud-config; the tests are its life, in their order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bakery.machines.accelerator import Accelerator
from bakery.machines.machine import Machine
from bakery.machines.needs import Image, Needs, boot
from bakery.machines.network import Network
from bakery.userdata.rendering import WorkerConf, render
from bakery.verify.pool.throwaway_pool import COMPLETED, HELD, Pool
from tests.boot import metadata
from tests.boot.life import JOB, JOIN, conf, reconfigure, submitted, wait_job
from tests.boot.test_life_jobs import attempts, source
from tests.conftest import Folders

GROUP, PROJECT, IDLE = "Virtual", "TG-VIRTUAL", 20
LONG = 4 * 3600  # seconds
DISK, WORD = 10 << 30, b"somebody's only copy".ljust(512)


@pytest.fixture(scope="module")
def disks(folders: Folders) -> tuple[Path, Path]:
    """An empty one, and one that is empty but for a word in its last block."""
    folder = folders("disks")
    empty, used = folder / "empty.raw", folder / "used.raw"
    for path in (empty, used):
        with path.open("wb") as file:
            file.truncate(DISK)
    with used.open("r+b") as file:
        file.seek(-len(WORD), os.SEEK_END)
        file.write(WORD)
    return empty, used


def is_as_it_was(path: Path) -> bool:
    """Of the sparse file, the last block is still all there is."""
    with path.open("rb") as file:
        empty = not any(file.read(1 << 20))
        file.seek(-512, os.SEEK_END)
        return empty and file.read() == WORD and path.stat().st_blocks * 512 < 1 << 20


@pytest.fixture(scope="module")
def told(pool: Pool) -> WorkerConf:
    return conf(pool, GROUP, PROJECT, idle=LONG)


@pytest.fixture(scope="module")
def machine(
    told: WorkerConf,
    disks: tuple[Path, Path],
    network: Network,
    worker_image: Image,
    accelerator: Accelerator,
    folders: Folders,
) -> Iterator[Machine]:
    user_data = render(told, "cloud-config")
    needs = Needs("vm", user_data, "virtual", network, disks, accelerator)
    work = folders("virtual")
    with metadata.serving(network, user_data), boot(needs, worker_image, work) as up:
        yield up


def test_it_boots_and_joins_as_its_user_data_says(machine: Machine, pool: Pool) -> None:
    machine.wait_until("the collector knows it", lambda: bool(pool.status(GROUP)), 3 * JOIN)
    assert machine.wait_booted() == "running", machine.run(["systemctl", "--failed"]).stdout
    said = machine.wait_until(
        "it is healthy", lambda: json.loads(machine.output("worker-image", "status", "--json")), 240,
        lambda said: said["health"] == "OK",
    )  # fmt: skip
    assert said["group"] == GROUP
    assert said["image"]["WorkerImage"].startswith("osg-debian13-")
    [advertised] = pool.slot_attributes(GROUP, "CloudInstanceID", "CloudPlatform", "WorkerImage", "OSPool")
    assert advertised.split()[1:] == ['"nocloud"', f'"{said["image"]["WorkerImage"]}"', "false"]
    # Above the prompt for a login, on the serial console.
    image, version = said["image"]["WorkerImageID"], said["image"]["WorkerImageVersion"]
    machine.wait_for_console_text(f"Worker image {image} {version}")


def test_the_empty_disk_is_the_jobs_and_the_other_is_left_alone(
    machine: Machine, disks: tuple[Path, Path]
) -> None:
    execute = machine.run(["condor_config_val", "EXECUTE"]).stdout.strip()
    shown = machine.run(["findmnt", "-n", "-o", "SOURCE,FSTYPE", "-T", execute]).stdout.split()
    assert shown == ["/dev/vdc", "ext4"], shown  # vda is the image, vdb the seed
    assert is_as_it_was(disks[1]) and not is_as_it_was(disks[0])


def test_a_job_gets_at_nothing_and_one_that_eats_memory_is_held(
    machine: Machine, pool: Pool, told: WorkerConf
) -> None:
    with (
        submitted(pool, "steal-virtual", PROJECT, source("steal.sh")) as steal,
        submitted(pool, "eat-virtual", PROJECT, source("eat-memory.py")) as eat,
    ):
        assert wait_job(machine, pool, steal) == COMPLETED
        output = pool.output("steal-virtual")
        assert set(attempts(output).values()) == {"refused"}, output
        assert told.token.rpartition(".")[2] not in output
        assert wait_job(machine, pool, eat, (HELD, COMPLETED)) == HELD
        [reason] = pool.job_attributes(eat, "HoldReason")
        assert "memory" in reason


@pytest.mark.full
def test_what_a_job_reads_is_not_its_memory(machine: Machine, pool: Pool) -> None:
    """It reads six times what it asked for; the one that takes more than that is held, above."""
    reads_large_files(machine, pool, "read-virtual", PROJECT)


def reads_large_files(machine: Machine, pool: Pool, name: str, project: str) -> None:
    # A file's size counts as disk, whether it has blocks or not.
    asked = {"request_memory": "512", "request_disk": "4G"}
    job = pool.submit(name, project, source("read-files.py"), asked)
    try:
        ended = wait_job(machine, pool, job, (HELD, COMPLETED), 4 * JOB)
        usage, reason = pool.job_attributes(job, "MemoryUsage", "HoldReason")
        assert ended == COMPLETED, reason
        assert pool.output(name) == f"{6 << 30}\n"
        assert int(usage) < 256, f"MemoryUsage is {usage} MiB"
    finally:
        pool.remove(job)


def test_idle_it_powers_itself_off(machine: Machine, told: WorkerConf) -> None:
    """So told in its file, as it was told of hours before: a slow machine is not to go beside the tests."""
    reconfigure(machine, told, IdleTimeout=str(IDLE))
    assert machine.powers_off_within(IDLE + 240 * machine.slowdown)
    assert "stopping: HTCondor exited after IdleTimeout" in machine.console_text()
