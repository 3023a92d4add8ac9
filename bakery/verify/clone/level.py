"""Verify the level clone: two instances of one image, each with its own meta-data and user-data.

They are booted one after the other, and join the same pool. The second is shut down and booted again.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bakery.machines.machine import Machine
from bakery.machines.needs import Boot
from bakery.userdata.rendering import conf_text
from bakery.verify import consoles, failure_logs
from bakery.verify.clone import identity
from bakery.verify.clone.identity import FINISHED, INSTANCE, WORKER_FILE, Facts
from bakery.verify.level import (
    HOSTNAME,
    JOIN_LIMIT,
    POWER_OFF_LIMIT,
    SETTLE_LIMIT,
    Environment,
    RunningWorker,
    run_site_tests,
    test_host,
    wait_reachable,
)
from bakery.verify.pool.level import power_on
from bakery.verify.pool.sample_jobs import SampleJobs
from bakery.verify.record import Record
from provisioner.errors import NotProven

# Seconds, multiplied by the machine's slowdown, for an answer that is final when cloud-init has finished.
_SETTLED_LIMIT = 10


@dataclass(frozen=True)
class Clone:
    """One of the two instances: its title in messages, its meta-data, its user-data, and how it boots."""

    environment: Environment
    record: Record
    name: str  # of its files
    title: str
    instance_id: str
    samples: SampleJobs
    start: Boot

    @contextmanager
    def booted(self, times: str = "") -> Iterator[RunningWorker]:
        """Boot it while the block runs, and keep its console; `times` distinguishes several boots."""
        with self.start() as machine:
            yield RunningWorker(self.environment.context, machine, self.environment.pool, self.samples)
        name = f"{self.name}{times}"
        self.record.consoles[name] = consoles.keep(self.environment.context, name)


def verify(environment: Environment, record: Record) -> None:
    """Run the checks of the level clone. Raises NotProven: one failed."""
    with _clone(environment, record, 1) as one, one.booted() as worker:
        first = _first_boot(one, worker, record)
        _joined(one, worker, record)
    with _clone(environment, record, 2) as two:
        with two.booted() as worker:
            second = _first_boot(two, worker, record)
            with record.check("nothing of the first is in the second"):
                second = _wait_different(two, worker, first)
            record.add(f": {identity.compared(first, second)}")
            started = _joined(two, worker, record)
            with record.check("the second shut down"):
                _shut_down(worker.machine)
        with two.booted("-again") as worker:
            _second_boot(two, worker, second, record)
            _joined_again(two, worker, started, record)
            run_site_tests(environment.context, "clone", test_host(worker.machine), record)


@contextmanager
def _clone(environment: Environment, record: Record, number: int) -> Iterator[Clone]:
    title, name = ("the first", "the second")[number - 1], f"clone-{number}"
    context = environment.context
    request = replace(context.request, group_name=f"{context.request.group_name} clone {number}")
    work = context.work / name
    work.mkdir()
    own = replace(environment, context=replace(context, request=request, work=work))
    samples, instance_id = own.samples(), f"iid-clone-{number}-{secrets.token_hex(4)}"
    with (
        failure_logs.added(own.context, environment.pool),
        own.instance(samples, f"{HOSTNAME}-{number}", instance_id) as start,
    ):
        yield Clone(own, record, name, title, instance_id, samples, start)


def _first_boot(clone: Clone, worker: RunningWorker, record: Record) -> Facts:
    with record.check(f"{clone.title} of two machines booted and ran its user-data", power_on(worker)):
        _wait_finished(clone, worker)
        _wait_for_instance(clone, worker)
        _wait_for_user_data(clone, worker)
        return _wait_complete(clone, worker)


def _facts(clone: Clone, worker: RunningWorker) -> Facts:
    answer = worker.machine.run(identity.questions(clone.samples.file)).stdout
    return identity.parse(answer) | identity.of_image(clone.environment.context.root)


def _values(clone: Clone, worker: RunningWorker, name: str) -> list[str]:
    return identity.values(_facts(clone, worker), name)


def _wait_finished(clone: Clone, worker: RunningWorker) -> None:
    wait_reachable(worker)
    worker.wait_until(
        f"cloud-init of {clone.title} has finished",
        lambda: _values(clone, worker, FINISHED),
        SETTLE_LIMIT,
    )


def _wait_for_instance(clone: Clone, worker: RunningWorker) -> None:
    """Wait until cloud-init works for the instance of the meta-data, not for one that is in the image."""
    try:
        worker.wait_until(
            f"cloud-init of {clone.title} has read the instance-id {clone.instance_id}",
            lambda: _values(clone, worker, INSTANCE),
            _SETTLED_LIMIT,
            lambda found: found == [clone.instance_id],
        )
    except NotProven as error:
        hint = "It may continue an instance of the image: remove /var/lib/cloud/* from the image."
        raise NotProven(error.message, hint) from None


def _wait_for_user_data(clone: Clone, worker: RunningWorker) -> None:
    wanted = hashlib.sha256(conf_text(clone.samples.conf).encode()).hexdigest()
    worker.wait_until(
        f"the user-data of {clone.title} has written {clone.samples.file} (SHA-256 {wanted})",
        lambda: _values(clone, worker, WORKER_FILE),
        _SETTLED_LIMIT,
        lambda found: found == [wanted],
    )


def _wait_complete(clone: Clone, worker: RunningWorker) -> Facts:
    """Wait until the machine has every part of an identity, and return its facts."""
    worker.wait_until(
        f"{clone.title} has a value of each kind; the last answer names the missing ones",
        lambda: identity.missing(_facts(clone, worker)),
        _SETTLED_LIMIT,
        lambda names: not names,
    )
    return _facts(clone, worker)


def _wait_different(clone: Clone, worker: RunningWorker, first: Facts) -> Facts:
    """Wait until nothing of the first machine is in this one, and return the facts of this one."""
    seen: list[Facts] = []

    def in_common() -> list[identity.Fact]:
        seen.append(_facts(clone, worker))
        return identity.shared(first, seen[-1])

    try:
        worker.wait_until(
            "two machines that share nothing", in_common, _SETTLED_LIMIT, lambda facts: not facts
        )
    except NotProven as error:
        lines = identity.explain(identity.shared(first, seen[-1]) if seen else [])
        raise NotProven(f"Two machines of this image share:\n{lines}\n{error.message}", _HINT) from None
    return seen[-1]


_HINT = (
    "The last role of a bake removes all of these; `worker-bakery verify --level offline` lists the rest."
    " Bake the image again without the files or commands of your own that create them."
)


def _joined(clone: Clone, worker: RunningWorker, record: Record) -> list[str]:
    """Wait until the pool has the worker under its own name; return when its startd was started."""
    with record.check(f"{clone.title} joined the pool under its own name"):
        return worker.wait_until(
            f"the collector lists {clone.title}", lambda: _start_times(worker), JOIN_LIMIT
        )


def _start_times(worker: RunningWorker) -> list[str]:
    samples, name = worker.samples, worker.context.request.group_name
    return worker.pool.slot_attributes(name, "DaemonStartTime", name_attribute=samples.name_attribute)


def _shut_down(machine: Machine) -> None:
    machine.run(["systemctl", "--no-block", "poweroff"])
    machine.wait_powered_off(POWER_OFF_LIMIT)


def _second_boot(clone: Clone, worker: RunningWorker, before: Facts, record: Record) -> None:
    what = "booted again, it kept its identity, and cloud-init ran nothing of the first boot again"
    with record.check(what, power_on(worker)):
        _wait_finished(clone, worker)
        worker.wait_until(
            "the identity of before, and nothing that cloud-init ran again",
            lambda: identity.changed(before, _facts(clone, worker)),
            _SETTLED_LIMIT,
            lambda changes: not changes,
        )


def _joined_again(clone: Clone, worker: RunningWorker, before: list[str], record: Record) -> None:
    with record.check(f"{clone.title} joined the pool again"):
        worker.wait_until(
            f"the collector lists {clone.title} with a DaemonStartTime other than {before}",
            lambda: _start_times(worker),
            JOIN_LIMIT,
            lambda found: bool(found) and not set(found) & set(before),
        )
