"""Inside the room: one mount, one boot, and everything the asked rungs want seen of them."""

from __future__ import annotations

import datetime
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bakery import qemu, userdata
from bakery.machines import accelerator as accelerators
from bakery.machines import serial, vm
from bakery.machines.accelerator import Accelerator
from bakery.machines.needs import Image, Needs, virtual
from bakery.machines.network import add_gateway
from bakery.machines.vm import VirtualMachine
from bakery.oci.root import is_archive, open_archive
from bakery.verify import pool as pools
from bakery.verify import suite
from bakery.verify.ladder import Level, Proof, Request
from bakery.verify.pool import Pool
from bakery.verify.trial import Trial, kind_of, trial
from provisioner.disk import mount_root
from provisioner.errors import BadInput, BakeryError, NotProven
from provisioner.monitor import Monitor, keep_log, phase, warn
from provisioner.scrub import hide

HOSTNAME = "worker-proof"
_IDLE, _COMPLETED, _HELD = 1, 4, 5

# Time limits in seconds on a machine with KVM; an accelerator that is slower gets more.
LOGIN_LIMIT = 15  # after sshd has answered
SETTLE_LIMIT = 120
JOIN_LIMIT = 120
JOB_LIMIT = 120
OFF_LIMIT = 120


@dataclass
class Record:
    """What was seen, in order, for one rung."""

    monitor: Monitor
    checks: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def check(self, what: str, since: float | None = None) -> Iterator[None]:
        """See `what` happen in the block; timed from the block's begin, or `since` (monotonic)."""
        started = time.monotonic() if since is None else since
        with phase(self.monitor, what):
            yield
        self.checks.append({"what": what, "seconds": round(time.monotonic() - started, 1)})

    def proof(self, accelerator: str = "") -> dict[str, Any]:
        at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return {"at": at, "checks": self.checks, **({"accelerator": accelerator} if accelerator else {})}


@dataclass(frozen=True)
class Setting:
    """What the rungs share: the mounted image and a folder to work in."""

    request: Request
    root: Path
    work: Path
    monitor: Monitor


def climb(request: Request, work: Path, monitor: Monitor) -> Proof:
    """Raises NotProven where a rung does not hold."""
    if not request.image.is_file():
        raise BadInput(f"{request.image} is no file.")
    if is_archive(request.image) and set(request.levels) - {"offline"}:
        raise BadInput("A container image does not boot.", "Verify it with --level offline.")
    with phase(monitor, "open the image"):
        root = _open(request.image, work)
    setting = Setting(request, root, work, monitor)
    proof: Proof = {}
    if "offline" in request.levels:
        proof["offline"] = _offline(setting)
    if "boot" in request.levels or "pool" in request.levels:
        proof.update(_booted(setting))
    return proof


def _open(image: Path, work: Path) -> Path:
    disk, root = work / "verify.raw", work / "image-root"
    if is_archive(image):
        open_archive(image, work, root)
        return root
    qemu.to_raw(image, disk)
    root.mkdir()
    mount_root(disk, root, read_only=True)
    return root


def _offline(setting: Setting) -> dict[str, Any]:
    record = Record(setting.monitor)
    with record.check("image tests on the mounted root"):
        container = is_archive(setting.request.image)
        result = suite.on_root(setting.root, setting.work, setting.monitor, container=container)
    return _counted(record, result, setting.monitor).proof()


def _booted(setting: Setting) -> Proof:
    accelerator = accelerators.choose(
        setting.request.accelerator, accelerators.kernel(setting.root), setting.work, setting.monitor
    )
    try:
        records = _run_machine(setting, accelerator)
    except NotProven as error:
        raise _explained(error, setting) from None
    return {
        level: record.proof(accelerator.name)
        for level, record in records.items()
        if level in setting.request.levels
    }


def _run_machine(setting: Setting, accelerator: Accelerator) -> dict[Level, Record]:
    """One machine and one pool for both rungs; both are gone when this returns."""
    request, limits = setting.request, Limits(accelerator)
    boot, joined = Record(setting.monitor), Record(setting.monitor)
    with ExitStack() as stack:
        add_gateway()
        pool = stack.enter_context(pools.start(setting.root, setting.work))
        token = pool.worker_token()
        hide(token)
        tried = _trial(setting, token)
        jobs = _submit(pool, tried) if "pool" in request.levels else None
        needs = Needs(
            user_data=userdata.render(tried.conf, "script"),
            hostname=HOSTNAME,
            accelerator=accelerator,
            firmware=request.firmware,
        )
        image = Image(request.image, setting.root, request.login)
        machine = stack.enter_context(virtual(needs, image, setting.work))
        if "boot" in request.levels:
            _boot_rung(setting, machine, tried, boot, limits)
        if jobs:
            _pool_rung(Rung(request, machine, pool, tried, jobs), joined, limits)
    return {"boot": boot, "pool": joined}


@dataclass(frozen=True)
class Limits:
    accelerator: Accelerator

    def __call__(self, seconds: float) -> float:
        return seconds * self.accelerator.slower


@dataclass(frozen=True)
class Jobs:
    nonce: str
    matching: str
    foreign: str


@dataclass(frozen=True)
class Rung:
    """What the pool's rung looks at."""

    request: Request
    machine: VirtualMachine
    pool: Pool
    tried: Trial
    jobs: Jobs


def _submit(pool: Pool, tried: Trial) -> Jobs:
    nonce = secrets.token_hex(8)
    script = f"#!/bin/sh\necho {nonce} $(uname -n) $(id -un)\n"
    return Jobs(
        nonce,
        pool.submit("matching", "", script, tried.matching.commands),
        pool.submit("foreign", "", script, tried.foreign.commands),
    )


def _trial(setting: Setting, token: str) -> Trial:
    request = setting.request
    settings = {"IdleTimeout": str(request.idle_seconds)} if "pool" in request.levels else {}
    return trial(kind_of(setting.root), request.group_name, token, settings)


def _boot_rung(
    setting: Setting,
    machine: VirtualMachine,
    tried: Trial,
    record: Record,
    limits: Limits,
) -> None:
    with record.check(f"booted ({setting.request.firmware}), ssh answered", machine.started):
        machine.wait_ssh(limits(setting.request.boot_seconds))
        machine.wait_login(limits(LOGIN_LIMIT))
    expected = {
        "token": tried.conf.token,
        "advertised": dict(tried.advertised),
        "start": tried.wanted,
        "central_manager": tried.conf.central_manager,
        "hostname": HOSTNAME,
        "settle_seconds": limits(SETTLE_LIMIT),
    }
    with record.check("image tests over ssh"):
        login = machine.settings.login
        result = suite.over_ssh(
            login.user, machine.ssh_port, login.key, expected, setting.work, setting.monitor
        )
    _counted(record, result, setting.monitor)


def _pool_rung(rung: Rung, record: Record, limits: Limits) -> None:
    request, machine, pool, tried = rung.request, rung.machine, rung.pool, rung.tried
    constraint = f"{tried.found_by} == {pools.classad_string(request.group_name)}"

    def seen() -> bool:
        return bool(pool.status(request.group_name, tried.found_by))

    with record.check(f"seen in the collector, power-on to {constraint}", machine.started):
        _until(seen, machine, limits(JOIN_LIMIT), "join the pool")
    with record.check(f"{tried.matching.title} ran on it, its output came back"):
        _until(lambda: _finished(pool, rung.jobs), machine, limits(JOB_LIMIT), "run the matching job")
        said = pool.output("matching").split()
        if said[:2] != [rung.jobs.nonce, HOSTNAME]:
            raise NotProven(f"The job's output is not what it printed on the worker: {said!r}.")
    with record.check(f"powered itself off after {request.idle_seconds} s without a job"):
        if not machine.goes_off(request.idle_seconds + limits(OFF_LIMIT)):
            raise NotProven("The worker was idle, but its machine did not power itself off.")
    with record.check(f"{tried.foreign.title} stayed idle all the while"):
        if pool.job(rung.jobs.foreign) != (_IDLE, 0):
            raise NotProven(f"{tried.foreign.title} was started on the worker, which is not to take it.")


def _finished(pool: Pool, jobs: Jobs) -> bool:
    status, _ = pool.job(jobs.matching)
    if status == _HELD:
        raise NotProven("The matching job was held; the worker could not run it.")
    return status == _COMPLETED


def _until(seen: Callable[[], bool], machine: VirtualMachine, seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not seen():
        if not machine.is_on():
            raise NotProven(f"The machine went off before it could {what}: {machine.end()}")
        if time.monotonic() > end:
            raise NotProven(f"The worker did not {what} within {seconds:.0f} s.")
        time.sleep(1)


def _counted(record: Record, result: suite.Result, monitor: Monitor) -> Record:
    for skipped in result.skipped:
        warn(monitor, f"A test of the image was skipped: {skipped}")
    record.checks[-1]["what"] += f": {result.passed} passed"
    return record


def _explained(error: NotProven, setting: Setting) -> NotProven:
    """The failure, what it comes from, and what was said last; the machine is off by now."""
    console = _text(setting.work / vm.SERIAL)
    found = serial.diagnose(console)
    for name in (vm.SERIAL, vm.QEMU_LOG):
        keep_log(setting.monitor, setting.work / name)
    parts = [
        f"{error.message} {found}" if found else error.message,
        "The last lines of its serial console:",
        serial.last_lines(console),
        "The worker's logs:",
        _worker_logs(setting),
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
