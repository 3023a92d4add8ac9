"""What is wanted of a machine, and a machine that has it. One way to ask for both kinds."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bakery.machines import namespace, vm
from bakery.machines.accelerator import TCG, Accelerator
from bakery.machines.layer import layer
from bakery.machines.machine import Machine
from bakery.machines.network import Network
from bakery.machines.vm import VirtualMachine
from bakery.runtime.files import write_private
from bakery.userdata.delivery import nocloud
from provisioner.errors import BadInput

Kind = Literal["namespace", "vm"]
_SEED = "var/lib/cloud/seed/nocloud"


@dataclass(frozen=True)
class Image:
    """An image and its root file system, mounted read-only."""

    path: Path
    root: Path
    login: str  # who may log in, by the base


@dataclass(frozen=True)
class Needs:
    """Of what kind a machine is to be, and what it is told and given."""

    kind: Kind = "namespace"
    user_data: str | None = None  # None: nothing, not even that it is in a cloud, where that can be
    hostname: str = "worker"
    network: Network | None = None
    disks: tuple[Path, ...] = ()  # raw files
    accelerator: Accelerator = TCG  # of a virtual machine, like firmware
    firmware: Literal["bios", "efi"] = "bios"


def boot(needs: Needs, image: Image, work: Path) -> AbstractContextManager[Machine]:
    """Such a machine, fresh, while the block runs; what it needs for itself is in the folder `work`.

    It is switched on, and no more: `wait_up` waits until it has booted.
    """
    start = virtual if needs.kind == "vm" else in_namespaces
    return start(needs, image, work)


@contextmanager
def in_namespaces(needs: Needs, image: Image, work: Path) -> Iterator[Machine]:
    """Raises BadInput if it needs what namespaces do not have."""
    if needs.disks:
        raise BadInput("A namespace machine has no disks.", "Ask for a virtual machine.")
    with layer(image.root, work) as root:
        told = ["cloud-init=disabled"]
        if needs.user_data is not None:
            told = ["ds=nocloud"]
            _first_boot(root, _seed_files(needs, []))
        with namespace.boot(
            root,
            console=work / namespace.CONSOLE,
            hostname=needs.hostname,
            network=needs.network,
            arguments=told,
        ) as machine:
            yield machine


def _first_boot(root: Path, seed: dict[str, bytes]) -> None:
    """A root directory as a cloud's machine finds its own at its very first boot."""
    folder = root / _SEED
    folder.mkdir(parents=True)  # as open as clouds' images have it: to close it is the worker's work
    for name, content in seed.items():
        (folder / name).write_bytes(content)
    # At which systemd enables whatever no preset forbids.
    (root / "etc/machine-id").write_text("uninitialized\n")


@contextmanager
def virtual(needs: Needs, image: Image, work: Path) -> Iterator[VirtualMachine]:
    """Without user-data it still hears its name and its key: there is no other way in."""
    key, seed = vm.new_key(work), work / "seed.iso"
    files = _seed_files(needs, [key.with_suffix(".pub").read_text().strip()])
    write_private(seed, nocloud.iso(files))
    settings = vm.Settings(
        image.path,
        seed,
        vm.Login(image.login, key),
        needs.accelerator,
        needs.firmware,
        disks=needs.disks,
        network=needs.network,
    )
    with vm.boot(settings, work) as machine:
        yield machine


def _seed_files(needs: Needs, public_keys: list[str]) -> dict[str, bytes]:
    return nocloud.seed_files(
        user_data=needs.user_data or "",
        instance_id=f"iid-{secrets.token_hex(4)}",
        hostname=needs.hostname,
        public_keys=public_keys,
    )
