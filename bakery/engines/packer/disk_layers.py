"""External snapshots of the disk of a running machine, taken between two roles.

Before a snapshot, the files that only this boot has created (login key, host keys, machine-id) are moved
from the disk into memory. Free space is trimmed, so that no deleted data remains readable, and the file
system is frozen, which leaves it as clean as an unmounted one. QEMU then writes to a new overlay; the
previous file becomes its backing file and does not change any more.
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

DRIVE = "system"  # the id of the drive in packer/worker.pkr.hcl
# The size of file system blocks: of larger clusters, trimmed blocks would remain readable.
CLUSTER = "cluster_size=4k"
_IDENTITY = "/etc/machine-id"

# root/.ssh is removed only if this boot has created it. While its keys are gone, a lost connection cannot
# be restored; that lasts a few seconds.
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
    """The disk of a running machine, and after which roles to take a snapshot of it."""

    monitor: str  # path of the QMP socket
    first: str  # path of the first overlay; later ones are in the same folder
    size: int  # virtual size in bytes
    policy: Policy


def overlay_after(first: Path, steps: int) -> Path:
    """The path of the overlay that QEMU writes to after this number of steps."""
    return first.with_name(f"{first.stem}-{steps}.qcow2")


def top(first: Path) -> Path:
    """The top overlay of the backing chain; `first` if it is the only one."""
    over = first.parent.glob(f"{first.stem}-*.qcow2")
    return max(over, key=lambda path: int(path.stem.rpartition("-")[2]), default=first)


def snapshot(disk: Disk, plan: Plan, steps: int, machine: Target, on_line: OnLine) -> Path:
    """Take a snapshot after `steps` steps; return the file with that state, now read-only.

    Raises BakeryError: QEMU refused; and what the target raises. The machine is thawed in any case.
    """
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
    # -u: do not open the backing file, which QEMU is using.
    argv = ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-o", CLUSTER]
    run.call([*argv, "-b", str(over), "-F", "qcow2", str(layer), str(size)])


def _machine_id(plan: Plan) -> str:
    """The content that the seal writes to /etc/machine-id: that of a machine before its first boot."""
    put = [action for step in plan.steps for action in step.actions if isinstance(action, Put)]
    return next((each.data.decode() for each in put if each.path == _IDENTITY), "")
