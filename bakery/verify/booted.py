"""The rungs boot and pool: one machine and one throw-away pool, and what is to be seen of both.

`pool_rung` and `manager_dies` are what is seen of the pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bakery.machines import accelerator as accelerators
from bakery.machines import namespace, network, serial, vm
from bakery.machines.accelerator import TCG, Accelerator
from bakery.machines.machine import Machine
from bakery.machines.namespace import NamespaceMachine
from bakery.machines.needs import Image, Needs, in_namespaces, virtual
from bakery.machines.vm import VirtualMachine
from bakery.runtime import qemu_img
from bakery.userdata import rendering
from bakery.verify import image_tests
from bakery.verify.level import HOSTNAME, LOGIN_LIMIT, LONG, SETTLE_LIMIT, UP_LIMIT, Rung, Setting
from bakery.verify.pool import failover
from bakery.verify.pool import level as pool_level
from bakery.verify.pool import throwaway_pool as pools
from bakery.verify.pool.sample_jobs import OSPOOL_TABLE, Trial, kind_of, like_ospool, trial
from bakery.verify.pool.throwaway_pool import Pool
from bakery.verify.record import Record
from bakery.verify.verification import Level, Proof
from provisioner.disk.file_systems import mount_root
from provisioner.errors import BakeryError, NotProven
from provisioner.events import keep_log
from provisioner.process.scrub import hide


def climb(setting: Setting) -> Proof:
    """Raises NotProven with what the machine and the pool said last."""
    request = setting.request
    accelerator = TCG if request.machine == "namespace" else _accelerator(setting)
    try:
        records = _run(setting, accelerator)
    except NotProven as error:
        raise _explained(error, setting) from None
    name = "" if request.machine == "namespace" else accelerator.name
    return {
        level: record.proof(accelerator=name, machine=request.machine, pool_shape=request.pool_shape)
        for level, record in records.items()
        if level in request.levels
    }


def _accelerator(setting: Setting) -> Accelerator:
    request = setting.request
    kernel = accelerators.kernel(setting.root)
    return accelerators.choose(request.accelerator, kernel, setting.work, setting.monitor)


def _run(setting: Setting, accelerator: Accelerator) -> dict[Level, Record]:
    """One machine and one pool for both rungs; both are gone when this returns."""
    request, boot, joined = setting.request, Record(setting.monitor), Record(setting.monitor)
    with ExitStack() as stack:
        here = network.here()
        pool = stack.enter_context(pools.start(setting.root, setting.work, shape=request.pool_shape))
        tried = _trial(setting, pool)
        early = "pool" in request.levels and request.pool_shape == "plain"
        jobs = pool_level.submit_both(pool, tried) if early else None
        needs = Needs(
            user_data=rendering.render(tried.conf, "script"),
            hostname=HOSTNAME,
            network=here,
            accelerator=accelerator,
            firmware=request.firmware,
        )
        machine = stack.enter_context(_machine(setting, needs))
        rung = Rung(setting, machine, pool, tried)
        if "boot" in request.levels:
            _boot_rung(rung, boot)
        if jobs:
            pool_level.climb(rung, jobs, joined)
        elif "pool" in request.levels:
            failover.climb(rung, joined)
    return {"boot": boot, "pool": joined}


@contextmanager
def _machine(setting: Setting, needs: Needs) -> Iterator[Machine]:
    image = Image(setting.request.image, setting.root, setting.request.login)
    start = in_namespaces if setting.request.machine == "namespace" else virtual
    with start(needs, image, setting.work) as machine:
        yield machine


def _trial(setting: Setting, pool: Pool) -> Trial:
    token = pool.worker_token()
    hide(token)
    settings = {"IdleTimeout": str(LONG)}
    tried = trial(kind_of(setting.root), setting.request.group_name, token, settings)
    if setting.request.pool_shape == "plain":
        return tried
    return like_ospool(tried, pool.shape, has_role=(setting.root / OSPOOL_TABLE).exists())


def _boot_rung(rung: Rung, record: Record) -> None:
    setting, machine, tried = rung.setting, rung.machine, rung.tried
    _wait_way_in(rung, record)
    expected = {
        "token": tried.conf.token,
        "advertised": dict(tried.advertised),
        "start": tried.wanted,
        "central_manager": tried.condor_host,
        "hostname": HOSTNAME,
        "settle_seconds": SETTLE_LIMIT * machine.slower,
    }
    way = "in namespaces" if setting.request.machine == "namespace" else "over ssh"
    with record.check(f"image tests {way}"):
        result = image_tests.on_machine(_host(machine), expected, setting.work, setting.monitor)
    record.count(result)


def _wait_way_in(rung: Rung, record: Record) -> None:
    machine, request = rung.machine, rung.setting.request
    if isinstance(machine, VirtualMachine):
        with record.check(f"booted ({request.firmware}), ssh answered", machine.started):
            machine.wait_ssh(request.boot_seconds * machine.slower)
            machine.wait_login(LOGIN_LIMIT * machine.slower)
    else:
        with record.check("booted in namespaces"):
            machine.wait_up(UP_LIMIT)


def _host(machine: Machine) -> image_tests.Host:
    if isinstance(machine, VirtualMachine):
        login = machine.settings.login
        return image_tests.by_ssh(login.user, machine.ssh_port, login.key)
    assert isinstance(machine, NamespaceMachine)
    return image_tests.in_namespaces(machine.first())


def _explained(error: NotProven, setting: Setting) -> NotProven:
    """The failure, what it comes from, and what was said last; the machine is off by now."""
    virtual_machine = setting.request.machine == "vm"
    console = _text(setting.work / (vm.SERIAL if virtual_machine else namespace.CONSOLE))
    found = serial.diagnose(console) if virtual_machine else None
    for name in (vm.SERIAL, vm.QEMU_LOG, namespace.CONSOLE):
        if (setting.work / name).exists():
            keep_log(setting.monitor, setting.work / name)
    parts = [
        f"{error.message} {found}" if found and str(found) not in error.message else error.message,
        "The last lines of its console:",
        serial.last_lines(console),
        *(["The worker's logs:", _worker_logs(setting)] if virtual_machine else []),
        "The pool's logs:",
        pools.condor_logs(setting.work / "pool", ("CollectorLog", "SchedLog")),
        "",
    ]
    return NotProven("\n".join(parts), found.hint if found else error.hint)


def _text(file: Path) -> str:
    return file.read_text("utf-8", "replace") if file.exists() else ""


def _worker_logs(setting: Setting) -> str:
    root = setting.work / "failed-root"
    try:
        root.mkdir()
        qemu_img.to_raw(setting.work / vm.DISK, setting.work / "failed.raw")
        mount_root(setting.work / "failed.raw", root, read_only=True)
    except BakeryError as problem:
        return f"(its disk cannot be read: {problem})"
    return pools.condor_logs(root, ("MasterLog", "StartLog"))
