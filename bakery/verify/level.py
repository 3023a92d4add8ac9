"""What the verification levels share: the image, the running worker, and the limits of conditions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bakery.machines.conditions import Condition
from bakery.machines.machine import Machine
from bakery.machines.namespace import NamespaceMachine
from bakery.machines.vm import VirtualMachine
from bakery.verify import image_tests
from bakery.verify.pool.sample_jobs import SampleJobs
from bakery.verify.pool.throwaway_pool import Pool
from bakery.verify.record import Record
from bakery.verify.verification import Request
from provisioner.events import Monitor

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
