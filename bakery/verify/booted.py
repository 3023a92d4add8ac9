"""The rungs boot and pool: one machine and one throw-away pool, and what is to be seen of both.

Each check is a condition with a limit of its own. The worker's IdleTimeout is far away while it is
looked at; when all else was seen, its file gets a short one, and it is to power itself off.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bakery import qemu, userdata
from bakery.machines import accelerator as accelerators
from bakery.machines import namespace, network, serial, vm
from bakery.machines.accelerator import TCG, Accelerator
from bakery.machines.conditions import Condition
from bakery.machines.machine import Machine
from bakery.machines.namespace import NamespaceMachine
from bakery.machines.needs import Image, Needs, in_namespaces, virtual
from bakery.machines.vm import VirtualMachine
from bakery.verify import pool as pools
from bakery.verify import suite
from bakery.verify.ladder import Level, Proof, Request
from bakery.verify.pool import Pool
from bakery.verify.record import Record
from bakery.verify.trial import Trial, kind_of, trial
from provisioner.disk import mount_root
from provisioner.errors import BakeryError, NotProven
from provisioner.monitor import Monitor, keep_log
from provisioner.scrub import hide

T = TypeVar("T")
HOSTNAME = "worker-proof"
LONG = 4 * 3600  # seconds; no proof takes so long

# Limits in seconds with KVM or in namespaces; a machine that is slower gets more.
UP_LIMIT = 60  # of a namespace machine
LOGIN_LIMIT = 60  # after sshd has answered
SETTLE_LIMIT = 240
JOIN_LIMIT = 240
JOB_LIMIT = 240
REFUSED_LIMIT = 240
FOLLOW_LIMIT = 120
OFF_LIMIT = 240


@dataclass(frozen=True)
class Setting:
    """What the rungs share: the mounted image and a folder to work in."""

    request: Request
    root: Path
    work: Path
    monitor: Monitor


@dataclass(frozen=True)
class Jobs:
    """Their ids, and what the matching one is to print."""

    nonce: str
    matching: str
    foreign: str


@dataclass(frozen=True)
class Rung:
    """What both rungs look at."""

    setting: Setting
    machine: Machine
    pool: Pool
    tried: Trial

    def until(
        self, what: str, ask: Callable[[], T], seconds: float, holds: Callable[[T], bool] = bool
    ) -> T:
        """Raises NotProven. The seconds are those of a fast machine."""
        return self.machine.wait(Condition(what, ask, seconds * self.machine.slower, holds))


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
        level: record.proof(accelerator=name, machine=request.machine)
        for level, record in records.items()
        if level in request.levels
    }


def _accelerator(setting: Setting) -> Accelerator:
    request = setting.request
    kernel = accelerators.kernel(setting.root)
    return accelerators.choose(request.accelerator, kernel, setting.work, setting.monitor)


def _run(setting: Setting, accelerator: Accelerator) -> dict[Level, Record]:
    """One machine and one pool for both rungs; both are gone when this returns."""
    boot, joined = Record(setting.monitor), Record(setting.monitor)
    with ExitStack() as stack:
        here = network.here()
        pool = stack.enter_context(pools.start(setting.root, setting.work))
        tried = _trial(setting, pool)
        jobs = _submit(pool, tried) if "pool" in setting.request.levels else None
        needs = Needs(
            user_data=userdata.render(tried.conf, "script"),
            hostname=HOSTNAME,
            network=here,
            accelerator=accelerator,
            firmware=setting.request.firmware,
        )
        machine = stack.enter_context(_machine(setting, needs))
        rung = Rung(setting, machine, pool, tried)
        if "boot" in setting.request.levels:
            _boot_rung(rung, boot)
        if jobs:
            _pool_rung(rung, jobs, joined)
    return {"boot": boot, "pool": joined}


@contextmanager
def _machine(setting: Setting, needs: Needs) -> Iterator[Machine]:
    image = Image(setting.request.image, setting.root, setting.request.login)
    start = in_namespaces if setting.request.machine == "namespace" else virtual
    with start(needs, image, setting.work) as machine:
        yield machine


def _submit(pool: Pool, tried: Trial) -> Jobs:
    nonce = secrets.token_hex(8)
    script = f"#!/bin/sh\necho {nonce} $(uname -n) $(id -un)\n"
    return Jobs(
        nonce,
        pool.submit("matching", "", script, tried.matching.commands),
        pool.submit("foreign", "", script, tried.foreign.commands),
    )


def _trial(setting: Setting, pool: Pool) -> Trial:
    token = pool.worker_token()
    hide(token)
    settings = {"IdleTimeout": str(LONG)}
    return trial(kind_of(setting.root), setting.request.group_name, token, settings)


def _boot_rung(rung: Rung, record: Record) -> None:
    setting, machine, tried = rung.setting, rung.machine, rung.tried
    _wait_way_in(rung, record)
    expected = {
        "token": tried.conf.token,
        "advertised": dict(tried.advertised),
        "start": tried.wanted,
        "central_manager": tried.conf.central_manager,
        "hostname": HOSTNAME,
        "settle_seconds": SETTLE_LIMIT * machine.slower,
    }
    way = "in namespaces" if setting.request.machine == "namespace" else "over ssh"
    with record.check(f"image tests {way}"):
        result = suite.on_machine(_host(machine), expected, setting.work, setting.monitor)
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


def _host(machine: Machine) -> suite.Host:
    if isinstance(machine, VirtualMachine):
        login = machine.settings.login
        return suite.by_ssh(login.user, machine.ssh_port, login.key)
    assert isinstance(machine, NamespaceMachine)
    return suite.in_namespaces(machine.first())


def _pool_rung(rung: Rung, jobs: Jobs, record: Record) -> None:
    request, machine, pool, tried = rung.setting.request, rung.machine, rung.pool, rung.tried
    constraint = f"{tried.found_by} == {pools.classad_string(request.group_name)}"

    def seen() -> str:
        return pool.status(request.group_name, tried.found_by)

    since = machine.started if isinstance(machine, VirtualMachine) else None
    with record.check(f"seen in the collector, power-on to {constraint}", since):
        rung.until("the collector shows the worker", seen, JOIN_LIMIT)
    with record.check(f"{tried.matching.title} ran on it, its output came back"):
        _ran(rung, jobs)
    with record.check(f"{tried.foreign.title} was refused by the worker"):
        _refused(rung, jobs)
        rung.until("the worker is still in the pool that refused the job for it", seen, JOIN_LIMIT)
    with record.check(f"powered itself off, told of an IdleTimeout of {request.idle_seconds} s"):
        _goes_off(rung)
    pool.seen(jobs.foreign).is_refused(0)


def _ran(rung: Rung, jobs: Jobs) -> None:
    def completed(status: str) -> bool:
        if status == pools.HELD:
            raise NotProven("The matching job was held; the worker could not run it.")
        return status == pools.COMPLETED

    rung.until(
        "the matching job is completed",
        lambda: rung.pool.about(jobs.matching, "JobStatus")[0],
        JOB_LIMIT,
        completed,
    )
    said = rung.pool.output("matching").split()
    if said[:2] != [jobs.nonce, HOSTNAME]:
        raise NotProven(f"The job's output is not what it printed on the worker: {said!r}.")


def _refused(rung: Rung, jobs: Jobs) -> None:
    """By the negotiator's answer since the worker took the matching job."""
    started = int(rung.pool.about(jobs.matching, "JobStartDate")[0])
    rung.until(
        f"the pool finds no match for {rung.tried.foreign.title}",
        lambda: rung.pool.seen(jobs.foreign),
        REFUSED_LIMIT,
        lambda job: job.is_refused(started),
    )


def _goes_off(rung: Rung) -> None:
    """With a new IdleTimeout in its file, which it has to follow."""
    machine, seconds = rung.machine, rung.setting.request.idle_seconds
    settings = {**rung.tried.conf.settings, "IdleTimeout": str(seconds)}
    told = dataclasses.replace(rung.tried.conf, settings=settings)
    machine.put(rung.tried.file, userdata.conf_text(told).encode(), 0o600)
    if not machine.goes_off(seconds + (FOLLOW_LIMIT + OFF_LIMIT) * machine.slower):
        raise NotProven(
            f"The worker was idle, and told of an IdleTimeout of {seconds} s, but its machine did not power"
            " itself off."
        )


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
        qemu.to_raw(setting.work / vm.DISK, setting.work / "failed.raw")
        mount_root(setting.work / "failed.raw", root, read_only=True)
    except BakeryError as problem:
        return f"(its disk cannot be read: {problem})"
    return pools.condor_logs(root, ("MasterLog", "StartLog"))
