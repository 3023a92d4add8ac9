"""Write the input files of one `packer build` of packer/worker.pkr.hcl: variables, seed, keys and task.

bake-image uses them for its own builds and writes them for users who run packer themselves
(`--packer-files`). Keys and seed are valid for this one machine. The files have mode 0600, and variables
are passed in a file, never in argv.
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
from bakery.runtime import data, host_paths, mirror, qemu_img
from bakery.runtime.files import write_private
from bakery.userdata.delivery import nocloud
from provisioner.checkpoints import Policy
from provisioner.plan import Plan

TEMPLATE = data.PACKER / "worker.pkr.hcl"
VARIABLES = "worker.pkrvars.json"
FOLDER = "packer"  # in the work folder of a bake
# Seconds that a machine with KVM may take until root can log in; emulated ones get more.
SSH_TIMEOUT = 240
# Wraps QEMU, because packer reports neither its exit nor its messages. Packer also removes its output
# folder when a step fails: the hard link keeps the disk.
_QEMU = """\
#!/bin/sh
case "$1" in -version | --version) exec {qemu} "$@" ;; esac
cd {folder} || exit
ln -f output/disk.qcow2 disk.qcow2
setpriv --pdeathsig KILL -- {qemu} -qmp unix:qmp,server=on,wait=off "$@" 2>>qemu.log
echo $? >qemu.status
"""


@dataclass(frozen=True)
class Files:
    """The paths of the files of one packer build."""

    folder: Path

    @property
    def variables(self) -> Path:
        return self.folder / VARIABLES

    @property
    def output(self) -> Path:
        """The output folder of packer, which packer removes when a build fails."""
        return self.folder / "output"

    @property
    def disk(self) -> Path:
        """The first overlay that the machine writes to; its backing file is the start disk."""
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
    """The disk to start from (qcow2), and the number of steps already applied to it."""

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
    """Write the files into `folder`, which only its owner can read.

    `keep` is the checkpoint policy of bake-image; None if a user runs packer, without bake-image.
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
        files.qemu.write_text(_QEMU.format(folder=_quoted(folder), qemu=host_paths.qemu()))
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
    """A NoCloud seed that lets root log in with the key and creates no account.

    Of the cloud-init modules only `ssh` runs.
    """
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
    # JSON is valid YAML. Without a host name in the seed, the machine keeps that of the base.
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
        "qemu": str(files.qemu) if monitored else host_paths.qemu(),
        "ssh_timeout": f"{SSH_TIMEOUT * accelerator.slowdown:.0f}s",
    }
