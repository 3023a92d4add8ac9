"""What the verification levels share: the image, the running worker, and the limits of conditions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bakery.machines.accelerator import Accelerator
from bakery.machines.machine import Machine
from bakery.machines.namespace import NamespaceMachine
from bakery.machines.needs import Boot, Image, Needs, instance
from bakery.machines.network import Network
from bakery.machines.vm import VirtualMachine
from bakery.runtime.conditions import Condition
from bakery.userdata import rendering
from bakery.verify import image_tests
from bakery.verify.pool.sample_jobs import (
    OSPOOL_TABLE,
    SampleJobs,
    adapt_to_ospool,
    make_sample_jobs,
    worker_kind,
)
from bakery.verify.pool.throwaway_pool import Pool
from bakery.verify.record import Record
from bakery.verify.verification import Request
from provisioner.events import Monitor
from provisioner.process.scrub import hide

T = TypeVar("T")
HOSTNAME = "worker-proof"
LONG_IDLE_TIMEOUT = 4 * 3600  # seconds; longer than any verification

# Limits in seconds with KVM or in namespaces, multiplied by the machine's slowdown.
BOOT_LIMIT = 60  # namespace machines; Request.boot_seconds for virtual machines
LOGIN_LIMIT = 60  # after the ssh server's first answer
SETTLE_LIMIT = 240
JOIN_LIMIT = 240
JOB_LIMIT = 240
REFUSAL_LIMIT = 240
RECONFIGURE_LIMIT = 120
POWER_OFF_LIMIT = 240


@dataclass(frozen=True)
class LevelContext:
    """The request, the image's root mounted read-only, and the work folder of one verification.

    `site_tests` is the folder with the tests of the site, None if there are none.
    """

    request: Request
    root: Path
    work: Path
    monitor: Monitor
    site_tests: Path | None = None


@dataclass(frozen=True)
class RunningWorker:
    """A booted machine, the throw-away pool that it joins, and the jobs to run in it."""

    context: LevelContext
    machine: Machine
    pool: Pool
    samples: SampleJobs

    def wait_until(
        self, description: str, query: Callable[[], T], seconds: float, is_met: Callable[[T], bool] = bool
    ) -> T:
        """Wait for a condition; `seconds` is the limit for a machine with KVM. Raises NotProven."""
        return self.machine.wait(Condition(description, query, seconds * self.machine.slowdown, is_met))


@dataclass(frozen=True)
class Environment:
    """The throw-away pool and the network of one verification, and the accelerator of its machines."""

    context: LevelContext
    pool: Pool
    network: Network
    accelerator: Accelerator

    def samples(self) -> SampleJobs:
        """Return the configuration of a worker with a token of its own, and its sample jobs."""
        context, shape = self.context, self.pool.shape
        token = self.pool.worker_token()
        hide(token)
        settings = {"IdleTimeout": str(LONG_IDLE_TIMEOUT)}
        samples = make_sample_jobs(worker_kind(context.root), context.request.group_name, token, settings)
        if context.request.pool_shape == "plain":
            return samples
        return adapt_to_ospool(samples, shape, has_role=(context.root / OSPOOL_TABLE).exists())

    def instance(
        self, samples: SampleJobs, hostname: str, instance_id: str = ""
    ) -> AbstractContextManager[Boot]:
        """Yield the function that boots an instance of the image, whose user-data is that of `samples`."""
        request = self.context.request
        needs = Needs(
            kind=request.machine,
            user_data=rendering.render(samples.conf, "script"),
            hostname=hostname,
            instance_id=instance_id,
            network=self.network,
            accelerator=self.accelerator,
            firmware=request.firmware,
        )
        return instance(needs, Image(request.image, self.context.root, request.login), self.context.work)


def wait_reachable(worker: RunningWorker) -> None:
    """Wait until ssh answers and accepts the login; until systemd has booted in namespaces."""
    machine = worker.machine
    if isinstance(machine, VirtualMachine):
        machine.wait_ssh(worker.context.request.boot_seconds * machine.slowdown)
        machine.wait_login(LOGIN_LIMIT * machine.slowdown)
    else:
        machine.wait_booted(BOOT_LIMIT)


def test_host(machine: Machine) -> image_tests.Host:
    """Return how the image tests connect to a booted machine."""
    if isinstance(machine, VirtualMachine):
        login = machine.settings.login
        return image_tests.ssh_host(login.user, machine.ssh_port, login.key)
    assert isinstance(machine, NamespaceMachine)
    return image_tests.namespace_host(machine.init_pid())


def run_site_tests(context: LevelContext, level: str, host: image_tests.Host, record: Record) -> None:
    """Run the tests of the site for this level, if there are any. Raises NotProven: one failed."""
    if context.site_tests is None:
        return
    with record.check("tests of the site"):
        result = image_tests.run_site(context.site_tests, level, host, context.work, context.monitor)
    record.add_test_counts(result)
