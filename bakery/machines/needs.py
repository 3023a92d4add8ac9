"""Boot a machine of either kind from an image, as its requirements say.

An *instance* is a copy of an image and a seed, as in cloud-init. It can be booted several times: each boot
continues with the files of the boot before.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bakery.machines import namespace, vm
from bakery.machines.accelerator import TCG, Accelerator
from bakery.machines.layer import layer
from bakery.machines.machine import Machine
from bakery.machines.network import Network
from bakery.runtime.files import write_private
from bakery.userdata.delivery import nocloud
from provisioner.errors import BadInput

Kind = Literal["namespace", "vm"]
Boot = Callable[[], AbstractContextManager[Machine]]
_SEED = "var/lib/cloud/seed/nocloud"


@dataclass(frozen=True)
class Image:
    """An image and its root file system, mounted read-only."""

    path: Path
    root: Path
    login: str  # the user whom the base's cloud-init creates


@dataclass(frozen=True)
class Needs:
    """The requirements of a machine: its kind, its meta-data and user-data, and its devices."""

    kind: Kind = "namespace"
    user_data: str | None = None  # None: none; in namespaces cloud-init is disabled, too
    hostname: str = "worker"
    network: Network | None = None
    disks: tuple[Path, ...] = ()  # raw files
    accelerator: Accelerator = TCG  # virtual machines only, like firmware
    firmware: Literal["bios", "efi"] = "bios"
    instance_id: str = ""  # of the meta-data; "": a random one


@contextmanager
def boot(needs: Needs, image: Image, work: Path) -> Iterator[Machine]:
    """Start a machine on a copy of the image while the block runs; its files are in the folder `work`.

    `Machine.wait_booted` waits until it has booted. Raises what the function of its kind raises.
    """
    with instance(needs, image, work) as start, start() as machine:
        yield machine


def instance(needs: Needs, image: Image, work: Path) -> AbstractContextManager[Boot]:
    """Yield the function that boots an instance of the image, which exists while the block runs.

    Its files are in the folder `work`; one machine of it may run at a time. Raises what the function of its
    kind raises.
    """
    make = virtual_instance if needs.kind == "vm" else namespace_instance
    return make(needs, image, work)


@contextmanager
def namespace_instance(needs: Needs, image: Image, work: Path) -> Iterator[Boot]:
    """Yield the function that boots an instance in namespaces. Raises BadInput: it requires disks."""
    if needs.disks:
        raise BadInput("A namespace machine has no disks.", "Use a virtual machine.")
    with layer(image.root, work) as root:
        arguments = ["cloud-init=disabled"]
        if needs.user_data is not None:
            arguments = ["ds=nocloud"]
            _write_seed(root, _seed_files(needs, []))
        yield lambda: namespace.boot(
            root,
            console=work / namespace.CONSOLE,
            hostname=needs.hostname,
            network=needs.network,
            arguments=arguments,
        )


def _write_seed(root: Path, seed: dict[str, bytes]) -> None:
    folder = root / _SEED
    folder.mkdir(parents=True)  # world-readable, as in a cloud: the worker must restrict it
    for name, content in seed.items():
        (folder / name).write_bytes(content)


@contextmanager
def virtual_instance(needs: Needs, image: Image, work: Path) -> Iterator[Boot]:
    """Yield the function that boots an instance in QEMU; its seed always has a host name and an ssh key."""
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
    vm.new_disk(settings, work)
    yield lambda: vm.boot(settings, work)


def _seed_files(needs: Needs, public_keys: list[str]) -> dict[str, bytes]:
    return nocloud.seed_files(
        user_data=needs.user_data or "",
        instance_id=needs.instance_id or f"iid-{secrets.token_hex(4)}",
        hostname=needs.hostname,
        public_keys=public_keys,
    )
