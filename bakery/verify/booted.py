"""Run the verification levels boot and pool with one machine and one throw-away pool.

`pool.level` has the checks of the level pool, `pool.failover` those of a pool of the shape `ospool`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bakery.machines import accelerator as accelerators
from bakery.machines import namespace, network, serial, vm
from bakery.machines.accelerator import TCG, Accelerator
from bakery.machines.machine import Machine
from bakery.machines.needs import Image, Needs, boot_in_namespaces, boot_virtual_machine
from bakery.machines.vm import VirtualMachine
from bakery.runtime import qemu_img
from bakery.userdata import rendering
from bakery.verify import image_tests
from bakery.verify.level import (
    BOOT_LIMIT,
    HOSTNAME,
    LOGIN_LIMIT,
    LONG_IDLE_TIMEOUT,
    SETTLE_LIMIT,
    LevelContext,
    RunningWorker,
    run_site_tests,
    test_host,
)
from bakery.verify.pool import failover
from bakery.verify.pool import level as pool_level
from bakery.verify.pool import throwaway_pool as pools
from bakery.verify.pool.sample_jobs import (
    OSPOOL_TABLE,
    SampleJobs,
    adapt_to_ospool,
    make_sample_jobs,
    worker_kind,
)
from bakery.verify.pool.throwaway_pool import Pool
from bakery.verify.record import Record
from bakery.verify.verification import Level, Proof
from provisioner.disk.file_systems import mount_root
from provisioner.errors import BakeryError, NotProven
from provisioner.events import keep_log
from provisioner.process.scrub import hide, scrub


def verify(context: LevelContext) -> Proof:
    """Verify the requested levels of boot and pool, and return a proof for each.

    Raises NotProven: a check failed; its message ends with the last lines of the machine's console and
    of the pool's logs.
    """
    request = context.request
    accelerator = TCG if request.machine == "namespace" else _accelerator(context)
    try:
        records = _run(context, accelerator)
    except NotProven as error:
        raise _with_logs(error, context) from None
    name = "" if request.machine == "namespace" else accelerator.name
    console = _keep_console(context)
    return {
        level: record.proof(
            accelerator=name, machine=request.machine, pool_shape=request.pool_shape, console=console
        )
        for level, record in records.items()
        if level in request.levels
    }


def _keep_console(context: LevelContext) -> str:
    """Keep the console of the machine, which has ended, in the log; return the SHA-256 of the kept file."""
    name = vm.SERIAL if context.request.machine == "vm" else namespace.CONSOLE
    keep_log(context.monitor, context.work / name)
    return hashlib.sha256(scrub(_text(context.work / name)).encode()).hexdigest()


def _accelerator(context: LevelContext) -> Accelerator:
    request = context.request
    kernel = accelerators.find_kernel(context.root)
    return accelerators.choose(request.accelerator, kernel, context.work, context.monitor)


def _run(context: LevelContext, accelerator: Accelerator) -> dict[Level, Record]:
    """Verify both levels with one machine and one pool; both have ended when this returns."""
    request, monitor = context.request, context.monitor
    boot, pool_record = Record("boot", monitor), Record("pool", monitor)
    with ExitStack() as stack:
        sandbox_network = network.from_sandbox()
        pool = stack.enter_context(pools.start(context.root, context.work, shape=request.pool_shape))
        samples = _sample_jobs(context, pool)
        submit_early = "pool" in request.levels and request.pool_shape == "plain"
        jobs = pool_level.submit_both(pool, samples) if submit_early else None
        needs = Needs(
            user_data=rendering.render(samples.conf, "script"),
            hostname=HOSTNAME,
            network=sandbox_network,
            accelerator=accelerator,
            firmware=request.firmware,
        )
        machine = stack.enter_context(_machine(context, needs))
        worker = RunningWorker(context, machine, pool, samples)
        if "boot" in request.levels:
            _verify_boot_level(worker, boot)
        if jobs:
            pool_level.verify(worker, jobs, pool_record)
        elif "pool" in request.levels:
            failover.verify(worker, pool_record)
    return {"boot": boot, "pool": pool_record}


@contextmanager
def _machine(context: LevelContext, needs: Needs) -> Iterator[Machine]:
    image = Image(context.request.image, context.root, context.request.login)
    boot = boot_in_namespaces if context.request.machine == "namespace" else boot_virtual_machine
    with boot(needs, image, context.work) as machine:
        yield machine


def _sample_jobs(context: LevelContext, pool: Pool) -> SampleJobs:
    token = pool.worker_token()
    hide(token)
    settings = {"IdleTimeout": str(LONG_IDLE_TIMEOUT)}
    samples = make_sample_jobs(worker_kind(context.root), context.request.group_name, token, settings)
    if context.request.pool_shape == "plain":
        return samples
    return adapt_to_ospool(samples, pool.shape, has_role=(context.root / OSPOOL_TABLE).exists())


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
    machine, request = worker.machine, worker.context.request
    if isinstance(machine, VirtualMachine):
        with record.check(f"booted ({request.firmware}), ssh answered", machine.started):
            machine.wait_ssh(request.boot_seconds * machine.slowdown)
            machine.wait_login(LOGIN_LIMIT * machine.slowdown)
    else:
        with record.check("booted in namespaces"):
            machine.wait_booted(BOOT_LIMIT)


def _with_logs(error: NotProven, context: LevelContext) -> NotProven:
    """Add to a failure its diagnosis and the last log lines; the machine has ended by now."""
    virtual_machine = context.request.machine == "vm"
    console = _text(context.work / (vm.SERIAL if virtual_machine else namespace.CONSOLE))
    diagnosis = serial.diagnose(console) if virtual_machine else None
    for name in (vm.SERIAL, vm.QEMU_LOG, namespace.CONSOLE):
        if (context.work / name).exists():
            keep_log(context.monitor, context.work / name)
    parts = [
        f"{error.message} {diagnosis}"
        if diagnosis and str(diagnosis) not in error.message
        else error.message,
        "The last lines of its console:",
        serial.last_lines(console),
        *(["The worker's logs:", _worker_logs(context)] if virtual_machine else []),
        "The pool's logs:",
        pools.condor_logs(context.work / "pool", ("CollectorLog", "SchedLog")),
        "",
    ]
    with_logs = NotProven("\n".join(parts), diagnosis.hint if diagnosis else error.hint)
    with_logs.where = error.where
    return with_logs


def _text(file: Path) -> str:
    return file.read_text("utf-8", "replace") if file.exists() else ""


def _worker_logs(context: LevelContext) -> str:
    root = context.work / "failed-root"
    try:
        root.mkdir()
        qemu_img.to_raw(context.work / vm.DISK, context.work / "failed.raw")
        mount_root(context.work / "failed.raw", root, read_only=True)
    except BakeryError as problem:
        return f"(cannot read its disk: {problem})"
    return pools.condor_logs(root, ("MasterLog", "StartLog"))
