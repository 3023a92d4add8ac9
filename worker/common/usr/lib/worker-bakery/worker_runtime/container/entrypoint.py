"""`worker run`, a container's entry point: what systemd, its units and cloud-init do on a machine.

    configured   the environment, or the worker's file: all that is wrong at once, and nothing started
    prepared     folders, accounts, the metadata guard, as far as the container is allowed to
    watched      HTCondor in the foreground of it, and the same looks, decisions and words as on a machine

The way out is the container's end, with status 0 if the worker did what it is for.
"""

import contextlib
import os
import pwd
import select
import shutil
import signal
import time
from typing import Any, Callable, Iterable, List, Mapping, NamedTuple, Optional

from worker_runtime.configuration import applied, condor_config, instance, settings
from worker_runtime.configuration.kind import Kind
from worker_runtime.configuration.worker_file import WorkerConfig
from worker_runtime.container import cgroup, init, token_files
from worker_runtime.container.inputs import Inputs
from worker_runtime.container.master import Master
from worker_runtime.jobs import metadata_guard, resources, storage
from worker_runtime.lifecycle import inspection, observe, states, watch
from worker_runtime.lifecycle.inspection import Service
from worker_runtime.system import files, paths
from worker_runtime.system.boot_time import BOOT_TIME_FILE
from worker_runtime.system.console import log
from worker_runtime.system.status_socket import StatusServer

BAD_INPUT = 2
CONFIG_FILE = paths.CONFIG_DIR + "/85-worker-container.config"
# Before all others, so that each may say otherwise.
SIZE_FILE = paths.CONFIG_DIR + "/00-worker-container.config"
HEAD = "# Written by `worker run` at the container's start.\n"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_SYS_ADMIN, _NET_ADMIN = 21, 12  # <linux/capability.h>
# After a first signal jobs have so long; then HTCondor is to end at once; then it is killed.
GRACE_SECONDS, FAST_SECONDS = states.STOP_SECONDS, 30
_FOLDERS = ("/run/condor", "/run/lock/condor", "/var/lib/condor/execute", "/var/spool/condor")


class Host(NamedTuple):
    """What is around the worker."""

    create_folders: Callable[[], None]  # before HTCondor is asked anything
    prepare: Callable[[Mapping[str, str]], Optional[bool]]
    kind: Callable[[Kind], Kind]  # with its defaults for here
    readable_by_jobs: Callable[[Iterable[str]], Optional[str]]  # a file that jobs can read but must not
    environment: Mapping[str, str]  # HTCondor's, and not ours: that may hold the token
    limited: bool  # whether accounts of our own run the jobs


def main() -> int:
    host = Host(
        reset_run_folder, prepare, container_kind, token_files.readable_by_jobs, ENVIRONMENT, limited=True
    )
    return init.run(lambda: run_worker(host))


def run_worker(host: Host) -> int:
    host.create_folders()
    table = settings.load_table()
    for complaint in table.warnings:
        log("warning: " + complaint)
    place = condor_config.Machine(int(time.time()), instance.attributes(), instance.machine_number())
    told = Inputs(host.kind(table.kind), place, host.readable_by_jobs)
    said = told.read()
    for warning in said.warnings:
        log("warning: " + warning)
    return refuse(said) if said.problems else run_htcondor(told, said, host)


def run_htcondor(told: Inputs, said: WorkerConfig, host: Host) -> int:
    """HTCondor with this configuration, to its end."""
    guarded = host.prepare(said.values)
    if guarded is None:
        return 1
    try:
        said = told.closed(said)
        if said.problems:
            return refuse(said)
        install(told.kind, said, told.place)
        return supervise(Master(host.environment, limited=host.limited), told)
    finally:
        shutil.rmtree(told.kind.tokens, ignore_errors=True)
        if guarded:
            metadata_guard.switch(False, metadata_guard.has_ipv6())


def refuse(said: WorkerConfig) -> int:
    log("\n".join(said.problems))
    log("HTCondor was not started. Correct that, and start the worker again.")
    return BAD_INPUT


def container_kind(plain: Kind) -> Kind:
    """The usual folder of tokens is its host's."""
    return plain._replace(tokens=paths.CONTAINER_TOKENS, given=paths.TOKENS)


def reset_run_folder() -> None:
    """As after a boot: a container that is started again still has what it wrote before."""
    shutil.rmtree(paths.RUN, ignore_errors=True)
    os.makedirs(paths.RUN, 0o755)
    files.put(BOOT_TIME_FILE, b"%d" % time.time(), 0o644)
    if os.path.exists(observe.STARTD_ADDRESS):
        os.unlink(observe.STARTD_ADDRESS)


# --- the surroundings --------------------------------------------------------------------------


def prepare(values: Mapping[str, str]) -> Optional[bool]:
    """Whether the metadata guard is up; None if HTCondor must not start."""
    settings.publish(values)
    for path in (*_FOLDERS, paths.LOG, paths.RUN + "/health"):
        create_condor_folder(path)
    os.chmod(paths.LOG, 0o750)
    here = cgroup.share()
    log("this container has CPUs: %d, memory: %d MiB" % here)
    files.put(SIZE_FILE, size_config(here).encode("ascii"), 0o644)
    files.put(CONFIG_FILE, config(has_capability(_SYS_ADMIN)).encode("ascii"), 0o644)
    if not has_capability(_SYS_ADMIN):
        log("this container is not privileged: jobs share one /tmp, and apptainer needs user namespaces")
    if resources.prepare(*here) or storage.main():
        return None
    if values["MetadataGuard"] == "yes" and not has_capability(_NET_ADMIN):
        log("warning: without --cap-add NET_ADMIN jobs are not kept from the cloud's metadata service")
        return False
    return None if metadata_guard.main() else values["MetadataGuard"] == "yes"


def create_condor_folder(path: str) -> None:
    """HTCondor's own; a volume is root's when it is new."""
    os.makedirs(path, 0o755, exist_ok=True)
    owner = pwd.getpwnam("condor")
    os.chown(path, owner.pw_uid, owner.pw_gid)


def has_capability(capability: int) -> bool:
    """Has this process the capability?"""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        rows = dict(line.split(":", 1) for line in file)
    return bool(int(rows["CapEff"].strip(), 16) >> capability & 1)


def config(mounts: bool) -> str:
    """85-worker-container.config; `mounts`: whether there is the right to mount."""
    head = HEAD + "SEC_TOKEN_SYSTEM_DIRECTORY = %s\n" % paths.CONTAINER_TOKENS
    return head if mounts else head + "MOUNT_UNDER_SCRATCH =\n"


def size_config(here: cgroup.Share) -> str:
    """00-worker-container.config."""
    return HEAD + "NUM_CPUS = %d\nMEMORY = %d\n" % here


def install(kind: Kind, said: WorkerConfig, place: condor_config.Machine) -> bool:
    """The tokens and the configuration in their places; False if they were there already."""
    path = os.path.join(paths.CONFIG_DIR, kind.config_name)
    tokens_are_new = token_files.copy_tokens(kind, said.values)
    config_is_new = files.put(path, condor_config.render(kind, said.values, place).encode("utf-8"), 0o644)
    if tokens_are_new or config_is_new:
        settings.publish(said.values)
    return tokens_are_new or config_is_new


# --- the life ----------------------------------------------------------------------------------


class StopRequest(NamedTuple):
    """How often we were asked to end, and when first (time.monotonic())."""

    times: int = 0
    since: float = 0.0


class SignalPipe:
    """Signals wake the loop."""

    def __init__(self) -> None:
        self.asked = StopRequest()
        self._read_end, mouth = os.pipe()
        for end in (self._read_end, mouth):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(mouth)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in init.FORWARDED_SIGNALS:
            signal.signal(number, self._ring)

    def _ring(self, *_: Any) -> None:
        self.asked = StopRequest(self.asked.times + 1, self.asked.since or time.monotonic())

    @property
    def fd(self) -> int:
        return self._read_end

    def drain(self) -> None:
        """What rang so far is taken note of."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read_end, 1024)

    def wait(self, seconds: float) -> None:
        select.select([self._read_end], [], [], seconds)
        self.drain()


def supervise(master: Master, told: Inputs) -> int:
    """HTCondor's life to its end, and so the container's."""
    bell, desk, changed = SignalPipe(), StatusServer(), inspection.file_times(told.kind)
    master.start()

    def glance() -> object:
        return changed(), master.status()

    service = Service(
        told.kind, time.monotonic(), master.unit, master.order, told.reading, lambda: applied.BEING_READ
    )
    state = watch.WatchState(states.Memory())
    while not bell.asked.times:
        before = glance()
        # Before the look, so that what is told of the worker is of the files as they are.
        said = told.changed()
        if said and install(told.kind, said, told.place):
            log("HTCondor is told to take that up")
            master.order("reload")
        state, seen = watch.step(state, service, desk)
        if state.order.what in ("off", "force"):
            return 0 if states.succeeded(state.memory) else 1
        # What rang until now may have been the programs that a look starts.
        bell.drain()
        if not bell.asked.times:
            desk.wait(watch.seconds_to_wait(state, seen), glance, before, [bell.fd])
    log("asked to end: jobs have %d s" % GRACE_SECONDS)
    return stop(master, bell)


def stop(master: Master, bell: SignalPipe) -> int:
    """HTCondor ended, as it was asked to; in the end by force."""
    master.do_not_restart()
    done: List[str] = []
    while master.status() is None:
        what = next_step(bell.asked, time.monotonic())
        if what not in done:
            master.order(what)
            done.append(what)
        bell.wait(1)
    log("HTCondor has ended")
    return 0 if "kill" not in done else 1


def next_step(asked: StopRequest, now: float) -> str:
    """Who asks twice wants it at once. Pure."""
    elapsed = now - asked.since
    if elapsed >= GRACE_SECONDS + FAST_SECONDS:
        return "kill"
    return "fast" if asked.times > 1 or elapsed >= GRACE_SECONDS else "stop"
