"""`python -m bakery.engines.packer.guest TASK PORT`: apply a plan to the machine that packer booted.

packer/worker.pkr.hcl runs this as its only provisioner. TASK is a JSON file with a `Task`; the ssh server
of the machine listens on 127.0.0.1:PORT. The resulting disk has the same content as with the chroot engine:
files created by the boot are removed before the first step, temporary repositories are in memory
(APT_CONFIG), and the seal of the plan removes the login key.

With checkpoints, a snapshot of the disk is taken at the ends of roles
(bakery/engines/packer/disk_layers.py):

    {"event": "checkpoint", "steps": 7, "disk": "/…/disk.qcow2"}    the disk after 7 steps

With `json_events`, events are printed to stdout as lines that begin with EVENT; otherwise as plain text.
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
from provisioner import errors, installed
from provisioner import plan as plans
from provisioner.apply import execute
from provisioner.checkpoints import is_worth_keeping
from provisioner.disk.growth import GROW_ROOT
from provisioner.errors import BakeryError, DiskFull, Unreachable
from provisioner.events import Event, Monitor, line, phase, warn
from provisioner.plan import Plan, PlannedStep
from provisioner.process.scrub import scrub
from provisioner.remote.machine import RETRY_DELAYS
from provisioner.targets import Target
from provisioner.targets.host_keys import Trust
from provisioner.targets.ssh import Address, ConnectionLost, Login, Ssh

EVENT = "worker-bakery: "
# The last event of a successful run: packer only has to shut the machine down.
DONE = "The machine holds the image."

# Files created by the boot are found by their birth time. Some files of the base are rewritten by the boot
# with the same content (linker cache, journal catalog): they stay. Files that the running machine needs are
# removed just before the seal, or by it.
_REMOVE_BOOT_FILES = r"""
set -eu
cloud-init status --wait >/dev/null 2>&1 || true
systemctl is-system-running --wait >/dev/null 2>&1 || true
# Stop everything that writes to the disk by itself.
systemctl stop '*.timer' systemd-timesyncd.service 2>/dev/null || true
journalctl --relinquish-var
boot=$(awk '$1 == "btime" { print $2 }' /proc/stat)
if [ "$(stat -c %W /etc/machine-id /root/.ssh/authorized_keys | sort -n | tail -1)" -lt "$boot" ]; then
    echo 'The root file system, or stat, does not report the birth time of files.'
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
# Written by cloud-init; networkd keeps using what netplan generated from it.
_REMOVE_NETPLAN = "rm -f -- /etc/netplan/50-cloud-init.yaml"
_TRIM = "sync; fstrim /"


@dataclass(frozen=True)
class Task:
    """What to apply to the machine. The first `first` steps of the plan are already applied."""

    plan: Plan
    first: int
    key: str  # path of the private key for root
    host_key: str  # path of the machine's public host key
    repositories: TemporaryRepositories
    json_events: bool
    disk: Disk | None = None  # None: no checkpoints


def to_json(task: Task) -> dict[str, Any]:
    """The content of a task file."""
    return {**asdict(task), "plan": plans.to_json(task.plan)}


def from_json(data: dict[str, Any]) -> Task:
    """Read the content of a task file."""
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
    """Reword an error of the ssh target, whose hints are for remote machines, for an image build."""
    match error:
        case ConnectionLost():
            return Unreachable(
                f"{error.message} Gave up after {len(RETRY_DELAYS) + 1} tries.", "Run the bake again."
            )
        case Unreachable():
            hint = (
                "The virtual machine connects to the mirror itself. Specify one that it can reach: "
                "--mirror http://MIRROR/debian."
            )
            return Unreachable(error.message, hint)
        case DiskFull():
            hint = "Increase root_size in the TOML file of the base, or use a larger vendor image."
            return DiskFull(error.message.replace("The disk of 127.0.0.1", "The image's disk"), hint)
        case _:
            return error


def apply_task(task: Task, machine: Target, monitor: Monitor) -> None:
    """Apply the remaining steps of the task to the machine.

    Raises what the target raises; ConnectionLost only after all retries.
    """
    with phase(monitor, "remove files created by the boot"):
        _script(_REMOVE_BOOT_FILES, machine, monitor)
    if task.plan.root_size and not task.first:
        with phase(monitor, "enlarge the root file system"):
            _script(GROW_ROOT, machine, monitor)
    temporary_repositories.add(task.repositories, task.plan, machine, lambda row: line(monitor, row))
    with _sync_on_failure(machine, monitor):
        _apply(task, machine, monitor)
    with phase(monitor, "trim free space"):
        _script(_TRIM, machine, monitor)


@contextmanager
def _sync_on_failure(machine: Target, monitor: Monitor) -> Iterator[None]:
    """Sync the disk if the block fails: it may be kept for inspection, and QEMU is killed."""
    try:
        yield
    except ConnectionLost:
        raise
    except BakeryError:
        with suppress(BakeryError):
            _script("sync", machine, monitor)
        raise


def _apply(task: Task, machine: Target, monitor: Monitor) -> None:
    """Apply the remaining roles, with checkpoints where they save time.

    The time to write one is measured with the first; until then it is taken as 0.
    """
    plan, since, writing = task.plan, time.monotonic(), 0.0
    if task.first:  # the package lists are on a tmpfs: there are none yet
        target = TargetWithRepositories(machine, task.repositories)
        temporary_repositories.add_for_role(plan.steps[task.first].role, task.repositories, target)
        target.run(installed.refresh(resumed=True), lambda row: line(monitor, row))
    for first, last in pairwise([task.first, *(end for end in plan.role_ends() if end > task.first)]):
        _apply_role(plan.steps[first:last], task, machine, monitor)
        finished = time.monotonic()
        if last == len(plan.steps):
            installed.report(machine, monitor, last)
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
    with phase(monitor, f"take a snapshot of the disk after {plan.steps[done - 1].role}"):
        layer = disk_layers.snapshot(disk, plan, done, machine, lambda row: line(monitor, row))
    installed.report(machine, monitor, done)
    monitor.emit({"event": "checkpoint", "steps": done, "disk": str(layer)})


def _execute(step: PlannedStep, target: Target, monitor: Monitor) -> None:
    """Execute a step; retry after a lost connection, because steps are safe to run twice."""
    for wait in RETRY_DELAYS:
        try:
            return execute(step, target, monitor)
        except ConnectionLost as lost:
            warn(monitor, f"{lost.message} Reconnecting in {wait} s, then repeating the step.")
            time.sleep(wait)
    return execute(step, target, monitor)


def _script(text: str, target: Target, monitor: Monitor) -> None:
    target.run(("sh", "-c", text), lambda row: line(monitor, row))


# --- output ------------------------------------------------------------------------------------


class PrefixedJson:
    """Prints one JSON event per line, encoded to survive packer's own escaping."""

    def emit(self, event: Event) -> None:
        print(EVENT + escape_backslashes(scrub(json.dumps(event))), flush=True)


class PlainText:
    """Prints events as plain text, for users who run packer themselves."""

    def emit(self, event: Event) -> None:
        match event["event"]:
            case "begin":
                print(event["name"], flush=True)
            case "error":
                print(scrub(f"error: {event['message']} {event['hint']}".strip()), flush=True)
            case "end" | "checkpoint" | "installed":
                return
            case _:
                print(scrub(f"  {event['text']}"), flush=True)


def escape_backslashes(text: str) -> str:
    """Percent-encode backslashes, which packer does not distinguish from its own escapes."""
    return text.replace("%", "%25").replace("\\", "%5C")


def unescape(text: str) -> str:
    """The inverse of `escape_backslashes`."""
    return unquote(text)


if __name__ == "__main__":
    sys.exit(main())
