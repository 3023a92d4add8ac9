"""All that one `packer build` of packer/worker.pkr.hcl reads: variables, seed, keys and task, in a folder.

bake-image's own builds and those of people who start packer themselves (`--packer-files`) use the same.
Keys and seed are good for this one machine; their files are 0600, and variables go by file, never argv.
"""

from __future__ import annotations

import json
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakery.engines.chroot.engine import Repositories
from bakery.engines.packer import guest, slirp
from bakery.engines.packer.disk_layers import Disk
from bakery.engines.packer.guest import Task
from bakery.engines.packer.temporary_repositories import TemporaryRepositories
from bakery.machines.accelerator import Accelerator
from bakery.machines.vm import new_key
from bakery.runtime import data, mirror, qemu_img
from bakery.runtime.files import write_private
from bakery.userdata.delivery import nocloud
from provisioner.checkpoints import Policy
from provisioner.plan import Plan

TEMPLATE = data.PACKER / "worker.pkr.hcl"
VARIABLES = "worker.pkrvars.json"
FOLDER = "packer"  # in a bake's work folder
# Seconds that a machine with KVM may take until root is let in; a slower one gets more.
SSH_TIMEOUT = 240
# Run in QEMU's place, as packer notices neither that QEMU ended nor what it said, and removes its own
# output folder when a step fails: the disk has a second name.
_QEMU = """\
#!/bin/sh
case "$1" in -version | --version) exec qemu-system-x86_64 "$@" ;; esac
cd {folder} || exit
ln -f output/disk.qcow2 disk.qcow2
setpriv --pdeathsig KILL -- qemu-system-x86_64 -qmp unix:qmp,server=on,wait=off "$@" 2>>qemu.log
echo $? >qemu.status
"""


@dataclass(frozen=True)
class Files:
    """What is in the folder, or will be."""

    folder: Path

    @property
    def variables(self) -> Path:
        return self.folder / VARIABLES

    @property
    def output(self) -> Path:
        """Packer's; it removes the folder when something fails."""
        return self.folder / "output"

    @property
    def disk(self) -> Path:
        """The first layer that the machine writes to, over what it starts from."""
        return self.folder / "disk.qcow2"

    @property
    def monitor(self) -> Path:
        return self.folder / "qmp"

    @property
    def serial(self) -> Path:
        return self.folder / "serial.log"

    @property
    def qemu(self) -> Path:
        return self.folder / "qemu"

    @property
    def qemu_log(self) -> Path:
        return self.folder / "qemu.log"

    @property
    def qemu_status(self) -> Path:
        return self.folder / "qemu.status"

    @property
    def stream(self) -> Path:
        return self.folder / "packer.stream"

    @property
    def log(self) -> Path:
        return self.folder / "packer.log"


@dataclass(frozen=True)
class Start:
    """The disk to start from (qcow2), and how many of the plan's steps it has behind it."""

    disk: Path
    done: int


def write(
    folder: Path,
    plan: Plan,
    start: Start,
    repositories: Repositories,
    accelerator: Accelerator,
    keep: Policy | None = None,
) -> Files:
    """The files, in a folder that nobody else can read.

    `keep` says which checkpoints bake-image wants; None: people start packer, and nobody listens.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    files = Files(folder)
    login, host = (_new_key(folder / name) for name in ("login", "host"))
    seed = nocloud.iso(_seed(login, host))
    task = Task(
        plan,
        start.done,
        str(login),
        str(host.with_suffix(".pub")),
        _temporary_repositories(plan, repositories),
        keep is not None,
        keep and Disk(str(files.monitor), str(files.disk), qemu_img.virtual_size(start.disk), keep),
    )
    write_private(folder / "seed.iso", seed)
    write_private(folder / "task.json", json.dumps(guest.to_json(task)).encode())
    files.serial.touch(0o600)
    if keep:
        files.qemu.write_text(_QEMU.format(folder=_quoted(folder)))
        files.qemu.chmod(0o700)
    variables = _variables(files, start, login, accelerator, monitored=keep is not None)
    write_private(files.variables, (json.dumps(variables, indent=1) + "\n").encode())
    return files


def _temporary_repositories(plan: Plan, repositories: Repositories) -> TemporaryRepositories:
    return TemporaryRepositories(
        mirror.preferences(repositories.release),
        {step.role: repositories.of(step.role) for step in plan.steps},
        {name: slirp.seen_from_guest(name, url) for name, url in repositories.urls.items()},
    )


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\"'\"'") + "'"


def _new_key(folder: Path) -> Path:
    folder.mkdir(mode=0o700)
    return new_key(folder)


def _seed(login: Path, host: Path) -> dict[str, bytes]:
    """root is let in by the key, and no account made; of cloud-init's modules only this one runs."""
    config = {
        "users": [],
        "disable_root": False,
        "ssh_pwauth": False,
        "ssh_keys": {
            "ed25519_private": host.read_text(),
            "ed25519_public": host.with_suffix(".pub").read_text().strip(),
        },
        "cloud_init_modules": ["ssh"],
        "cloud_config_modules": [],
        "cloud_final_modules": [],
    }
    about = {
        "instance-id": f"iid-{secrets.token_hex(4)}",
        "public-keys": [login.with_suffix(".pub").read_text().strip()],
    }
    # JSON is YAML. Without a host name in it the machine keeps the base's.
    return {
        "meta-data": (json.dumps(about) + "\n").encode(),
        "user-data": f"#cloud-config\n{json.dumps(config)}\n".encode(),
    }


def _variables(
    files: Files, start: Start, login: Path, accelerator: Accelerator, *, monitored: bool
) -> dict[str, Any]:
    options = dict(zip(accelerator.options[::2], accelerator.options[1::2], strict=True))
    return {
        "base": str(start.disk),
        "disk_size": f"{qemu_img.virtual_size(start.disk)}b",
        "seed": str(files.folder / "seed.iso"),
        "key": str(login),
        "task": str(files.folder / "task.json"),
        "output": str(files.output),
        "disk": str(files.disk if monitored else files.output / "disk.qcow2"),
        "serial": str(files.serial),
        "python": sys.executable,
        "accelerator": options["-accel"],
        "cpu": options["-cpu"],
        "qemu": str(files.qemu) if monitored else "qemu-system-x86_64",
        "ssh_timeout": f"{SSH_TIMEOUT * accelerator.slower:.0f}s",
    }
