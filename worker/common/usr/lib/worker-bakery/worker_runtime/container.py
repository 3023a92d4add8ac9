"""`worker run`, a container's entry point: what systemd, its units and cloud-init do on a machine.

    configured   the environment, or the worker's file: all that is wrong at once, and nothing started
    prepared     folders, accounts, the metadata guard, as far as the container is allowed to
    watched      HTCondor in the foreground of it, and the same looks, decisions and words as on a machine

The way out is the container's end, with status 0 if the worker did what it is for.
"""

import os
import pwd
import select
import shutil
import signal
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

from worker_runtime import (
    condor,
    conf,
    configure,
    files,
    first,
    guard,
    life,
    machine,
    observe,
    places,
    resources,
    settings,
    storage,
    token,
    watch,
)
from worker_runtime.clock import BOOTED
from worker_runtime.conf import Conf
from worker_runtime.kind import Kind
from worker_runtime.master import Master
from worker_runtime.say import say

BAD_INPUT = 2
# What is different where there is no machine to power off, and whose disks are the host's.
OVERRIDES = {"OnIdle": {"poweroff": "exit"}, "ExecuteDisk": {"yes": "no"}}
CONFIG_FILE = places.CONFIG_DIR + "/85-worker-container.config"
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
    environment: Mapping[str, str]  # HTCondor's, and not ours: that may hold the token
    limited: bool  # whether accounts of our own run the jobs


def main() -> int:
    return first.process(lambda: worker(Host(begin, prepared, lambda kind: kind, ENVIRONMENT, True)))


def worker(host: Host) -> int:
    host.laid_out()
    table = settings.table()
    for complaint in table.complaints:
        say("warning: " + complaint)
    kind, place = host.kind(table.kind), condor.Place(int(time.time()), machine.attributes())
    said = configured(kind, os.environ, place)
    for warning in said.warnings:
        say("warning: " + warning)
    if said.problems:
        say("\n".join(said.problems))
        say("HTCondor was not started. Correct that, and start the worker again.")
        return BAD_INPUT
    return run(kind, said, place, host)


def run(kind: Kind, said: Conf, place: condor.Place, host: Host) -> int:
    """HTCondor with this configuration, to its end."""
    guarded = host.prepared(said.values)
    if guarded is None:
        return 1
    install(kind, said, place)
    try:
        return watched(Master(host.environment, limited=host.limited))
    finally:
        if guarded:
            guard.switch(False, guard.has_ipv6())


def begin() -> None:
    """As after a boot: a container that is started again still has what it wrote before."""
    shutil.rmtree(places.RUN, ignore_errors=True)
    os.makedirs(places.RUN, 0o755)
    files.put(BOOTED, b"%d" % time.time(), 0o644)
    if os.path.exists(observe.STARTD_ADDRESS):
        os.unlink(observe.STARTD_ADDRESS)


# --- the configuration -------------------------------------------------------------------------


def configured(kind: Kind, environment: Mapping[str, str], place: condor.Place) -> Conf:
    """What the user said, by the environment or the file, with all that is wrong with it."""
    given = [key.name for key in kind.keys if environment.get(key.name)]
    by_file = os.path.exists(kind.file) and not given
    if by_file or kind.form != "environment":
        said = conf.parse(files.settled(kind.file) or b"", kind.keys, kind.form)
        said = prefixed(said, kind.file)
    else:
        said = conf.of_environment(environment, kind.keys)
        # HTCondor and its jobs get none of these variables; whoever may ask Docker sees them.
        if environment.get(kind.key("Token")):
            more = "the token is in the environment, which docker inspect shows; mount it as a file"
            said = said._replace(warnings=(*said.warnings, more))
    said = said._replace(values=overridden(said.values))
    said = with_open_token_said(kind, said)
    return with_time(configure.checked(kind, said, place))


def prefixed(said: Conf, path: str) -> Conf:
    problems, warnings = (
        tuple("%s: %s" % (path, text) for text in texts) for texts in (said.problems, said.warnings)
    )
    return Conf(said.values, problems, warnings)


def overridden(values: Mapping[str, str]) -> Dict[str, str]:
    return {name: OVERRIDES.get(name, {}).get(value, value) for name, value in values.items()}


def with_open_token_said(kind: Kind, said: Conf) -> Conf:
    """A token file that others can read, outside. Jobs cannot: its folder here is closed to them."""
    path = said.values.get("TokenFile", "")
    try:
        is_open = bool(path) and os.stat(path).st_mode & 0o077
    except OSError:
        return said
    if not is_open:
        return said
    text = "%s could be read by others than its owner; it is made private" % path
    return said._replace(warnings=(*said.warnings, text))


def with_time(said: Conf) -> Conf:
    """An expired token is refused: the pool would, and say less."""
    secret = said.values.get("Token", "")
    problem = token.out_of_time(token.claims(secret), time.time()) if secret else None
    return said._replace(problems=(*said.problems, problem)) if problem else said


# --- the surroundings --------------------------------------------------------------------------


def prepared(values: Mapping[str, str]) -> Optional[bool]:
    """Whether the metadata guard is up; None if HTCondor must not start."""
    settings.publish(values)
    for path in (*_FOLDERS, places.LOG, places.RUN + "/health"):
        own_folder(path)
    os.chmod(places.LOG, 0o750)
    files.private_folder(places.TOKENS)
    files.put(CONFIG_FILE, config(may(_SYS_ADMIN)).encode("ascii"), 0o644)
    if not may(_SYS_ADMIN):
        say("this container is not privileged: jobs share one /tmp, and there is no apptainer")
    if resources.main() or storage.main():
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
    """85-worker-container.config: what cannot be without the right to mount."""
    head = "# Written by `worker run` at the container's start.\n"
    return head if mounts else head + "MOUNT_UNDER_SCRATCH =\n"


def install(kind: Kind, said: Conf, place: condor.Place) -> None:
    """The token and the configuration in their places."""
    path = os.path.join(places.CONFIG_DIR, kind.config_name)
    files.put(kind.token_file, said.values["Token"].encode("ascii") + b"\n", 0o600)
    files.put(path, condor.render(kind, said.values, place).encode("utf-8"), 0o644)
    settings.publish(said.values)


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

    def wait(self, seconds: float) -> None:
        if select.select([self._ear], [], [], seconds)[0]:
            os.read(self._ear, 1024)


def watched(master: Master) -> int:
    """HTCondor's life to its end, and so the container's."""
    bell = Bell()
    master.start()
    service = watch.Service(time.monotonic(), master.unit, master.order)
    state = watch.State(life.Memory())
    while not bell.asked.times:
        state, seen = watch.turn(state, service)
        if state.order.what in ("off", "force"):
            return 0 if life.fulfilled(state.memory) else 1
        bell.wait(watch.pause(seen.limits))
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
