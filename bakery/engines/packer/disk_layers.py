"""The disk of a machine that runs and becomes an image, put aside as it is between two roles.

The machine is brought to rest first: what only this boot has made, the way in above all, is taken from
the disk into memory, free space is given back, so that nothing of it can be found there, and the file
system is frozen, which makes it as clean as an unmounted one. QEMU then goes on in a new layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bakery.engines.packer import qmp
from provisioner.actions import Put
from provisioner.checkpoints import Policy
from provisioner.plan import Plan
from provisioner.process import run
from provisioner.targets import OnLine, Target

DRIVE = "system"  # its id in packer/worker.pkr.hcl
# As a file system's blocks: what the guest gives back of larger ones would stay readable.
CLUSTER = "cluster_size=4k"
_IDENTITY = "/etc/machine-id"

# Of root's folder for keys only what the boot has made. A connection that is lost now is lost for good,
# as nobody is let in; it is a matter of seconds.
_FREEZE = r"""
set -eu
cd /
boot=$(awk '$1 == "btime" { print $2 }' /proc/stat)
set -- root/.ssh/authorized_keys etc/ssh/ssh_host_* etc/netplan/50-cloud-init.yaml etc/machine-id
for path; do
    shift
    if [ -e "$path" ]; then set -- "$@" "$path"; fi
done
umask 077
tar -cf /run/worker-bakery.aside -- "$@"
rm -f -- "$@"
if [ "$(stat -c %W root/.ssh)" -ge "$boot" ]; then rmdir --ignore-fail-on-non-empty root/.ssh; fi
printf %s "$identity" >etc/machine-id
chmod 0444 etc/machine-id
sync
fstrim /
fsfreeze --freeze /
"""
_THAW = """\
set -eu
fsfreeze --unfreeze /
tar -C / -xpf /run/worker-bakery.aside
rm /run/worker-bakery.aside
"""


@dataclass(frozen=True)
class Disk:
    """Where QEMU is to be reached, what it writes to at first, and when it is to put that aside."""

    monitor: str  # path of its socket
    first: str  # path of the first layer; the next ones lie beside it
    size: int  # bytes that the machine sees
    policy: Policy


def overlay_after(first: Path, steps: int) -> Path:
    """What is written to after so many of the plan's steps."""
    return first.with_name(f"{first.stem}-{steps}.qcow2")


def top(first: Path) -> Path:
    """The layer that is on top of all others; `first`, if there is none over it."""
    over = first.parent.glob(f"{first.stem}-*.qcow2")
    return max(over, key=lambda path: int(path.stem.rpartition("-")[2]), default=first)


def snapshot(disk: Disk, plan: Plan, steps: int, machine: Target, on_line: OnLine) -> Path:
    """The layer that has so many of the plan's steps behind it, and that nobody writes to any more."""
    done = top(Path(disk.first))
    layer = overlay_after(Path(disk.first), steps)
    _create_overlay(layer, done, disk.size)
    machine.run(("env", f"identity={_machine_id(plan)}", "sh", "-c", _FREEZE), on_line)
    try:
        qmp.snapshot(Path(disk.monitor), DRIVE, layer)
    finally:
        machine.run(("sh", "-c", _THAW), on_line)
    return done


def _create_overlay(layer: Path, over: Path, size: int) -> None:
    # -u: what it lies over is in use.
    argv = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-o", CLUSTER]
    run.call([*argv, "-b", str(over), "-F", "qcow2", str(layer), str(size)])


def _machine_id(plan: Plan) -> str:
    """What the plan's seal makes of it: that of a machine which has not booted yet."""
    put = [action for step in plan.steps for action in step.actions if isinstance(action, Put)]
    return next((each.data.decode() for each in put if each.path == _IDENTITY), "")
