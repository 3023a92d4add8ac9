"""Run the verification levels boot, pool and clone with one throw-away pool.

One machine is for the levels boot and pool, further ones for the level clone. `pool.level` has the checks
of the level pool, `pool.failover` those of a pool of the shape `ospool`, `clone.level` those of clone.
"""

from __future__ import annotations

from contextlib import nullcontext

from bakery.machines import accelerator as accelerators
from bakery.machines import emulation, network
from bakery.machines.accelerator import TCG, Accelerator
from bakery.machines.vm import VirtualMachine
from bakery.verify import consoles, failure_logs, image_tests
from bakery.verify.clone import level as clone_level
from bakery.verify.level import (
    HOSTNAME,
    SETTLE_LIMIT,
    Environment,
    LevelContext,
    RunningWorker,
    run_site_tests,
    test_host,
    wait_reachable,
)
from bakery.verify.pool import failover
from bakery.verify.pool import level as pool_level
from bakery.verify.pool import throwaway_pool as pools
from bakery.verify.record import Record
from bakery.verify.verification import Level, Proof


def verify(context: LevelContext) -> Proof:
    """Verify the requested levels of boot, pool and clone, and return a proof for each.

    Raises NotProven: a check failed; its message ends with the last lines of the machine's console and
    of the pool's logs.
    """
    request = context.request
    accelerator = TCG if request.machine == "namespace" else _accelerator(context)
    is_virtual = request.machine == "vm"
    with emulation.turn(accelerator, context.monitor) if is_virtual else nullcontext():
        records = _run(context, accelerator)
    name = "" if request.machine == "namespace" else accelerator.name
    about = {"accelerator": name, "machine": request.machine, "pool_shape": request.pool_shape}
    console = consoles.keep(context)
    return {
        # The record of the level clone has the consoles of its own machines.
        level: record.proof(**about, console="" if level == "clone" else console)
        for level, record in records.items()
        if level in request.levels
    }


def _accelerator(context: LevelContext) -> Accelerator:
    request = context.request
    kernel = accelerators.find_kernel(context.root)
    return accelerators.choose(request.accelerator, kernel, context.work, context.monitor)


def _run(context: LevelContext, accelerator: Accelerator) -> dict[Level, Record]:
    """Verify the levels with one pool; it and all machines have ended when this returns."""
    levels: tuple[Level, ...] = ("boot", "pool", "clone")
    records = {level: Record(level, context.monitor) for level in levels}
    sandbox_network = network.from_sandbox()
    with pools.start(context.root, context.work, shape=context.request.pool_shape) as pool:
        environment = Environment(context, pool, sandbox_network, accelerator)
        if set(context.request.levels) & {"boot", "pool"}:
            with failure_logs.added(context, pool):
                _run_boot_and_pool(environment, records)
        if "clone" in context.request.levels:
            clone_level.verify(environment, records["clone"])
    return records


def _run_boot_and_pool(environment: Environment, records: dict[Level, Record]) -> None:
    context, pool = environment.context, environment.pool
    request, samples = context.request, environment.samples()
    submit_early = "pool" in request.levels and request.pool_shape == "plain"
    jobs = pool_level.submit_both(pool, samples) if submit_early else None
    with environment.instance(samples, HOSTNAME) as start, start() as machine:
        worker = RunningWorker(context, machine, pool, samples)
        if "boot" in request.levels:
            _verify_boot_level(worker, records["boot"])
        if jobs:
            pool_level.verify(worker, jobs, records["pool"])
        elif "pool" in request.levels:
            failover.verify(worker, records["pool"])


def _verify_boot_level(worker: RunningWorker, record: Record) -> None:
    context, machine, samples = worker.context, worker.machine, worker.samples
    _wait_reachable(worker, record)
    expected = {
        "token": samples.conf.token,
        "advertised": dict(samples.advertised),
        "start": samples.start,
        "central_manager": samples.condor_host,
        "hostname": HOSTNAME,
        "settle_seconds": SETTLE_LIMIT * machine.slowdown,
    }
    transport = "in namespaces" if context.request.machine == "namespace" else "over ssh"
    with record.check(f"image tests {transport}"):
        result = image_tests.run_booted(test_host(machine), expected, context.work, context.monitor)
    record.add_test_counts(result)
    run_site_tests(context, "boot", test_host(machine), record)


def _wait_reachable(worker: RunningWorker, record: Record) -> None:
    machine, firmware = worker.machine, worker.context.request.firmware
    virtual = isinstance(machine, VirtualMachine)
    what = f"booted ({firmware}), ssh answered" if virtual else "booted in namespaces"
    with record.check(what, pool_level.power_on(worker)):
        wait_reachable(worker)
