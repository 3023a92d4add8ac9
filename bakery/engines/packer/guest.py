"""`python -m bakery.engines.packer.guest TASK PORT`: apply a plan to the machine that packer booted.

packer/worker.pkr.hcl runs this as its one provisioner. TASK is a file that holds a `Task`, PORT is where
the machine's ssh server is to be reached on 127.0.0.1. What is done is what the chroot engine does, and
in the end the disk holds the same: what the boot itself made is removed before the first step, package
sources are lent by APT_CONFIG and lie in memory, and the plan's seal removes the way in.

At the ends of roles the disk is put aside (`layers`) for whoever keeps checkpoints:

    {"event": "checkpoint", "steps": 7, "disk": "/…/disk.qcow2"}    a layer that has 7 steps behind it

With `json_events`, events go to stdout as lines that begin with EVENT, else as text for people.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from bakery.engines.packer import disk_layers, temporary_repositories
from bakery.engines.packer.disk_layers import Disk
from bakery.engines.packer.temporary_repositories import TargetWithRepositories, TemporaryRepositories
from provisioner import errors
from provisioner import plan as plans
from provisioner.apply import execute
from provisioner.checkpoints import is_worth_keeping
from provisioner.errors import BakeryError, DiskFull, Unreachable
from provisioner.events import Event, Monitor, line, phase, warn
from provisioner.plan import Plan, PlannedStep
from provisioner.process.scrub import scrub
from provisioner.remote.machine import RETRY_DELAYS
from provisioner.targets import Target
from provisioner.targets.host_keys import Trust
from provisioner.targets.ssh import Address, ConnectionLost, Login, Ssh

EVENT = "worker-bakery: "
# The last event when all went well: the machine holds the image and is only to be switched off.
DONE = "The machine holds the image."

# What the boot has made is known by its birth. So is what it made anew, with the same content, of what the
# base has (the linker's cache, the journal's catalog): that stays. What the running machine cannot do
# without goes before the seal, or by it.
_REMOVE_BOOT_FILES = r"""
set -eu
cloud-init status --wait >/dev/null 2>&1 || true
systemctl is-system-running --wait >/dev/null 2>&1 || true
# Whatever would go on writing to the disk by itself.
systemctl stop '*.timer' systemd-timesyncd.service 2>/dev/null || true
journalctl --relinquish-var
boot=$(awk '$1 == "btime" { print $2 }' /proc/stat)
if [ "$(stat -c %W /etc/machine-id /root/.ssh/authorized_keys | sort -n | tail -1)" -lt "$boot" ]; then
    echo 'The root file system, or stat, does not tell when a file was made.'
    exit 1
fi
find / -xdev ! -path '/root/.ssh*' ! -path '/etc/ssh/*' ! -path /etc/machine-id \
    ! -path '/etc/netplan/*' ! -path '/var/tmp/*' \
    ! -path /etc/ld.so.cache ! -path '/var/cache/ldconfig/*' ! -path '/var/lib/systemd/catalog/*' \
    ! -path /etc/passwd ! -path /etc/group ! -path /etc/shadow ! -path /etc/gshadow \
    -exec stat -c '%W %n' {} + |
    awk -v boot="$boot" '/^[0-9]+ \// && $1 >= boot { print substr($0, index($0, " ") + 1) }' |
    sort -r | while read -r made; do
        if [ -d "$made" ] && [ ! -L "$made" ]; then
            rmdir --ignore-fail-on-non-empty -- "$made"
        else
            rm -f -- "$made"
        fi
    done
"""
# cloud-init's file; networkd goes on with what netplan made of it.
_REMOVE_NETPLAN = "rm -f -- /etc/netplan/50-cloud-init.yaml"
_TRIM = "sync; fstrim /"


@dataclass(frozen=True)
class Task:
    """`first` of the plan's steps are done."""

    plan: Plan
    first: int
    key: str  # path of the private key that root lets in
    host_key: str  # path of the machine's public key
    repositories: TemporaryRepositories
    json_events: bool
    disk: Disk | None = None  # if checkpoints can be made of it


def to_json(task: Task) -> dict[str, Any]:
    return {**asdict(task), "plan": plans.to_json(task.plan)}


def from_json(data: dict[str, Any]) -> Task:
    disk = Disk(**data["disk"]) if data["disk"] else None
    rest = {
        "plan": plans.from_json(data["plan"]),
        "repositories": TemporaryRepositories(**data["repositories"]),
        "disk": disk,
    }
    return Task(**{**data, **rest})


def main() -> int:
    task = from_json(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    monitor: Monitor = PrefixedJson() if task.json_events else PlainText()
    address = Address("root", "127.0.0.1", int(sys.argv[2]))
    login = Login(address, Path(task.key), Trust(file=Path(task.host_key)))
    try:
        with Ssh(login, lambda text: warn(monitor, text)) as ssh:
            apply_task(task, ssh, monitor)
    except BakeryError as error:
        reported = for_image(error)
        monitor.emit(errors.to_event(reported))
        return reported.exit_code
    monitor.emit({"event": "result", "text": DONE})
    return 0


def for_image(error: BakeryError) -> BakeryError:
    """What the ssh target says of somebody's machine, as it is to be said of one that becomes an image."""
    match error:
        case ConnectionLost():
            return Unreachable(f"{error.message} {len(RETRY_DELAYS) + 1} tries were made.", "Bake again.")
        case Unreachable():
            hint = "The machine asks the mirror itself: name one that it reaches with --mirror http://MIRROR/debian."
            return Unreachable(error.message, hint)
        case DiskFull():
            hint = "Its root needs more room: root_size in the base's TOML file, or a larger vendor image."
            return DiskFull(error.message.replace("The disk of 127.0.0.1", "The image's disk"), hint)
        case _:
            return error


def apply_task(task: Task, machine: Target, monitor: Monitor) -> None:
    """Raises what the target does; ConnectionLost when it stays lost."""
    with phase(monitor, "undo what the boot has changed"):
        _script(_REMOVE_BOOT_FILES, machine, monitor)
    temporary_repositories.add(task.repositories, task.plan, machine, lambda row: line(monitor, row))
    with _sync_on_failure(machine, monitor):
        _apply(task, machine, monitor)
    with phase(monitor, "give free space back"):
        _script(_TRIM, machine, monitor)


@contextmanager
def _sync_on_failure(machine: Target, monitor: Monitor) -> Iterator[None]:
    """A step that fails is looked into on the disk, and QEMU is not ended gently."""
    try:
        yield
    except ConnectionLost:
        raise
    except BakeryError:
        with suppress(BakeryError):
            _script("sync", machine, monitor)
        raise


def _apply(task: Task, machine: Target, monitor: Monitor) -> None:
    """The roles that are not done, with a checkpoint where it pays; how long one takes is not guessed."""
    plan, since, writing = task.plan, time.monotonic(), 0.0
    for first, last in pairwise([task.first, *(end for end in plan.role_ends() if end > task.first)]):
        _apply_role(plan.steps[first:last], task, machine, monitor)
        finished = time.monotonic()
        if last == len(plan.steps) or not task.disk:
            continue
        if is_worth_keeping(task.disk.policy, finished - since, writing):
            _snapshot(task.disk, plan, last, machine, monitor)
            since = time.monotonic()
            writing = since - finished


def _apply_role(steps: Sequence[PlannedStep], task: Task, machine: Target, monitor: Monitor) -> None:
    target = TargetWithRepositories(machine, task.repositories)
    _prepare_role(steps[0].role, task, target, monitor)
    for step in steps:
        with phase(monitor, f"{step.role}: {step.title}"):
            _execute(step, target, monitor)


def _prepare_role(role: str, task: Task, target: Target, monitor: Monitor) -> None:
    temporary_repositories.add_for_role(role, task.repositories, target)
    if role == "seal":
        _script(_REMOVE_NETPLAN, target, monitor)


def _snapshot(disk: Disk, plan: Plan, done: int, machine: Target, monitor: Monitor) -> None:
    with phase(monitor, f"put the disk aside as it is after {plan.steps[done - 1].role}"):
        layer = disk_layers.snapshot(disk, plan, done, machine, lambda row: line(monitor, row))
    monitor.emit({"event": "checkpoint", "steps": done, "disk": str(layer)})


def _execute(step: PlannedStep, target: Target, monitor: Monitor) -> None:
    """Again after a lost connection, as steps are safe to run twice."""
    for wait in RETRY_DELAYS:
        try:
            return execute(step, target, monitor)
        except ConnectionLost as lost:
            warn(monitor, f"{lost.message} In {wait} s it is made again, and the step repeated.")
            time.sleep(wait)
    return execute(step, target, monitor)


def _script(text: str, target: Target, monitor: Monitor) -> None:
    target.run(("sh", "-c", text), lambda row: line(monitor, row))


# --- what is reported ------------------------------------------------------------------------------


class PrefixedJson:
    """An event a line, in a form that packer's own escapes leave as it is."""

    def emit(self, event: Event) -> None:
        print(EVENT + escape_backslashes(scrub(json.dumps(event))), flush=True)


class PlainText:
    def emit(self, event: Event) -> None:
        match event["event"]:
            case "begin":
                print(event["name"], flush=True)
            case "error":
                print(scrub(f"error: {event['message']} {event['hint']}".strip()), flush=True)
            case "end" | "checkpoint":
                return
            case _:
                print(scrub(f"  {event['text']}"), flush=True)


def escape_backslashes(text: str) -> str:
    """Without backslashes, which packer does not tell from its own."""
    return text.replace("%", "%25").replace("\\", "%5C")


def unescape(text: str) -> str:
    return unquote(text)


if __name__ == "__main__":
    sys.exit(main())
