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

from worker_runtime import (
    cgroup,
    condor,
    files,
    first,
    followed,
    given,
    guard,
    life,
    look,
    machine,
    observe,
    places,
    resources,
    settings,
    storage,
    watch,
)
from worker_runtime.clock import BOOTED
from worker_runtime.conf import Conf
from worker_runtime.kind import Kind
from worker_runtime.look import Service
from worker_runtime.master import Master
from worker_runtime.query import Desk
from worker_runtime.say import say
from worker_runtime.told import Told

BAD_INPUT = 2
CONFIG_FILE = places.CONFIG_DIR + "/85-worker-container.config"
# Before all others, so that each may say otherwise.
SIZE_FILE = places.CONFIG_DIR + "/00-worker-container.config"
HEAD = "# Written by `worker run` at the container's start.\n"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_SYS_ADMIN, _NET_ADMIN = 21, 12  # <linux/capability.h>
# After a first signal jobs have so long; then HTCondor is to end at once; then it is killed.
GRACE, FAST = life.STOP_SECONDS, 30
_FOLDERS = ("/run/condor", "/run/lock/condor", "/var/lib/condor/execute", "/var/spool/condor")


class Host(NamedTuple):
    """What is around the worker."""

    laid_out: Callable[[], None]  # before HTCondor is asked anything
    prepared: Callable[[Mapping[str, str]], Optional[bool]]
    kind: Callable[[Kind], Kind]  # with its defaults for here
    open_to_jobs: Callable[[Iterable[str]], Optional[str]]  # a file that jobs can read but must not
    environment: Mapping[str, str]  # HTCondor's, and not ours: that may hold the token
    limited: bool  # whether accounts of our own run the jobs


def main() -> int:
    host = Host(begin, prepared, of_container, given.open_to_jobs, ENVIRONMENT, limited=True)
    return first.process(lambda: worker(host))


def worker(host: Host) -> int:
    host.laid_out()
    table = settings.table()
    for complaint in table.complaints:
        say("warning: " + complaint)
    place = condor.Place(int(time.time()), machine.attributes(), machine.draw())
    told = Told(host.kind(table.kind), place, host.open_to_jobs)
    said = told.read()
    for warning in said.warnings:
        say("warning: " + warning)
    return refused(said) if said.problems else run(told, said, host)


def run(told: Told, said: Conf, host: Host) -> int:
    """HTCondor with this configuration, to its end."""
    guarded = host.prepared(said.values)
    if guarded is None:
        return 1
    try:
        said = told.closed(said)
        if said.problems:
            return refused(said)
        install(told.kind, said, told.place)
        return watched(Master(host.environment, limited=host.limited), told)
    finally:
        shutil.rmtree(told.kind.tokens, ignore_errors=True)
        if guarded:
            guard.switch(False, guard.has_ipv6())


def refused(said: Conf) -> int:
    say("\n".join(said.problems))
    say("HTCondor was not started. Correct that, and start the worker again.")
    return BAD_INPUT


def of_container(plain: Kind) -> Kind:
    """The usual folder of tokens is its host's."""
    return plain._replace(tokens=places.CONTAINER_TOKENS, given=places.TOKENS)


def begin() -> None:
    """As after a boot: a container that is started again still has what it wrote before."""
    shutil.rmtree(places.RUN, ignore_errors=True)
    os.makedirs(places.RUN, 0o755)
    files.put(BOOTED, b"%d" % time.time(), 0o644)
    if os.path.exists(observe.STARTD_ADDRESS):
        os.unlink(observe.STARTD_ADDRESS)


# --- the surroundings --------------------------------------------------------------------------


def prepared(values: Mapping[str, str]) -> Optional[bool]:
    """Whether the metadata guard is up; None if HTCondor must not start."""
    settings.publish(values)
    for path in (*_FOLDERS, places.LOG, places.RUN + "/health"):
        own_folder(path)
    os.chmod(places.LOG, 0o750)
    here = cgroup.share()
    say("this container has CPUs: %d, memory: %d MiB" % here)
    files.put(SIZE_FILE, size(here).encode("ascii"), 0o644)
    files.put(CONFIG_FILE, config(may(_SYS_ADMIN)).encode("ascii"), 0o644)
    if not may(_SYS_ADMIN):
        say("this container is not privileged: jobs share one /tmp, and apptainer needs user namespaces")
    if resources.provided(*here) or storage.main():
        return None
    if values["MetadataGuard"] == "yes" and not may(_NET_ADMIN):
        say("warning: without --cap-add NET_ADMIN jobs are not kept from the cloud's metadata service")
        return False
    return None if guard.main() else values["MetadataGuard"] == "yes"


def own_folder(path: str) -> None:
    """HTCondor's own; a volume is root's when it is new."""
    os.makedirs(path, 0o755, exist_ok=True)
    owner = pwd.getpwnam("condor")
    os.chown(path, owner.pw_uid, owner.pw_gid)


def may(capability: int) -> bool:
    """Has this process the capability?"""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        rows = dict(line.split(":", 1) for line in file)
    return bool(int(rows["CapEff"].strip(), 16) >> capability & 1)


def config(mounts: bool) -> str:
    """85-worker-container.config; `mounts`: whether there is the right to mount."""
    head = HEAD + "SEC_TOKEN_SYSTEM_DIRECTORY = %s\n" % places.CONTAINER_TOKENS
    return head if mounts else head + "MOUNT_UNDER_SCRATCH =\n"


def size(here: cgroup.Share) -> str:
    """00-worker-container.config."""
    return HEAD + "NUM_CPUS = %d\nMEMORY = %d\n" % here


def install(kind: Kind, said: Conf, place: condor.Place) -> bool:
    """The tokens and the configuration in their places; False if they were there already."""
    path = os.path.join(places.CONFIG_DIR, kind.config_name)
    tokens_are_new = given.copied(kind, said.values)
    config_is_new = files.put(path, condor.render(kind, said.values, place).encode("utf-8"), 0o644)
    if tokens_are_new or config_is_new:
        settings.publish(said.values)
    return tokens_are_new or config_is_new


# --- the life ----------------------------------------------------------------------------------


class Asked(NamedTuple):
    """How often we were asked to end, and when first (time.monotonic())."""

    times: int = 0
    since: float = 0.0


class Bell:
    """Signals wake the loop."""

    def __init__(self) -> None:
        self.asked = Asked()
        self._ear, mouth = os.pipe()
        for end in (self._ear, mouth):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(mouth)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in first.PASSED_ON:
            signal.signal(number, self._ring)

    def _ring(self, *_: Any) -> None:
        self.asked = Asked(self.asked.times + 1, self.asked.since or time.monotonic())

    @property
    def ear(self) -> int:
        return self._ear

    def heard(self) -> None:
        """What rang so far is taken note of."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._ear, 1024)

    def wait(self, seconds: float) -> None:
        select.select([self._ear], [], [], seconds)
        self.heard()


def watched(master: Master, told: Told) -> int:
    """HTCondor's life to its end, and so the container's."""
    bell, desk, changed = Bell(), Desk(), look.followed_files(told.kind)
    master.start()

    def glance() -> object:
        return changed(), master.status()

    service = Service(
        told.kind, time.monotonic(), master.unit, master.order, told.reading, lambda: followed.READS
    )
    state = watch.State(life.Memory())
    while not bell.asked.times:
        before = glance()
        # Before the look, so that what is told of the worker is of the files as they are.
        said = told.changed()
        if said and install(told.kind, said, told.place):
            say("HTCondor is told to take that up")
            master.order("reload")
        state, seen = watch.turn(state, service, desk)
        if state.order.what in ("off", "force"):
            return 0 if life.fulfilled(state.memory) else 1
        # What rang until now may have been the programs that a look starts.
        bell.heard()
        if not bell.asked.times:
            desk.wait(watch.pause(state, seen), glance, before, [bell.ear])
    say("asked to end: jobs have %d s" % GRACE)
    return stopped(master, bell)


def stopped(master: Master, bell: Bell) -> int:
    """HTCondor ended, as it was asked to; in the end by force."""
    master.never_again()
    done: List[str] = []
    while master.status() is None:
        what = next_step(bell.asked, time.monotonic())
        if what not in done:
            master.order(what)
            done.append(what)
        bell.wait(1)
    say("HTCondor has ended")
    return 0 if "kill" not in done else 1


def next_step(asked: Asked, now: float) -> str:
    """Who asks twice wants it at once. Pure."""
    elapsed = now - asked.since
    if elapsed >= GRACE + FAST:
        return "kill"
    return "fast" if asked.times > 1 or elapsed >= GRACE else "stop"
