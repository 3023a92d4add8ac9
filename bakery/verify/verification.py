"""Verify an image to a verification level in a sandbox, and return its proof.

A proof is plain data, kept in the image's manifest:

    {"boot": {"at": "2026-11-22T…", "version": "0.2.0", "accelerator": "tcg", "machine": "vm",
      "pool_shape": "plain", "console": SHA-256 of the console in the log folder,
      "checks": [{"what": "booted, ssh answered", "seconds": 93.2}, …]}}

The level clone has "consoles": {"clone-1": SHA-256, "clone-2": …, "clone-2-again": …} instead of "console".
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from bakery.runtime import host_paths, sandbox
from bakery.runtime.privileges import require_root
from bakery.store import logs
from bakery.store.locks import shared_lock
from bakery.store.store import Store, work_folder
from provisioner import named_file
from provisioner.events import Monitor
from provisioner.process import run

Level = Literal["none", "offline", "boot", "pool", "clone"]
PoolShape = Literal["plain", "ospool"]
Proof = dict[str, dict[str, Any]]

LEVELS: tuple[Level, ...] = get_args(Level)
POOL_SHAPES: tuple[PoolShape, ...] = get_args(PoolShape)
SEARCH_TOOLS = ("qemu-img", "unshare", "setpriv", "mount", "sfdisk", "blkid")  # without a level
TOOLS = (*SEARCH_TOOLS, "qemu-system-x86_64", "chroot", "ip", "ssh-keygen")


def up_to(level: Level) -> tuple[Level, ...]:
    """Return a level and those below it, lowest first; none for "none"."""
    return LEVELS[1 : LEVELS.index(level) + 1]


@dataclass(frozen=True)
class Request:
    """An image and the levels to verify.

    `boot_seconds` limits the time until ssh answers on a machine with KVM. `idle_seconds` is the
    IdleTimeout after which the level pool expects the worker to power off. A `namespace` machine boots in
    a second, but does not verify the boot loader, the kernel, the disk and the network card. In a pool of
    the shape `ospool` the first of two central managers is stopped while the worker runs a job. `tests` are
    the files with the tests of a site, see bakery.verify.site_tests. Without levels, the image is only
    searched for secrets. A `raw` image is a disk without a format of its own, which is only read.
    """

    image: Path
    levels: Sequence[Level]
    login: str
    accelerator: str = "auto"
    firmware: Literal["bios", "efi"] = "bios"
    boot_seconds: int = 120
    group_name: str = 'Bakery\'s "proof" $(run)'
    idle_seconds: int = 20
    machine: Literal["vm", "namespace"] = "vm"
    pool_shape: PoolShape = "plain"
    tests: Sequence[Path] = ()
    raw: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the fields with paths as text."""
        return {**asdict(self), "image": str(self.image), "tests": [str(path) for path in self.tests]}


def from_json(data: dict[str, Any]) -> Request:
    """Read what `Request.to_json` returned."""
    paths = {"image": Path(data["image"]), "tests": tuple(Path(path) for path in data["tests"])}
    return Request(**{**data, **paths})


def verify(request: Request, store: Store, monitor: Monitor) -> Proof:
    """Call `prove` with a work folder and a kept log; the image cannot be pruned meanwhile.

    Raises MissingHere: not root; otherwise as `prove`.
    """
    require_root()
    if request.image.exists():
        named_file.refuse_waiting(request.image)
    log_name = f"verify-{request.image.stem}"
    with (
        logs.record(store, log_name, monitor) as log,
        shared_lock(request.image),
        work_folder(store) as work,
    ):
        return prove(request, work, log)


def prove(request: Request, work: Path, monitor: Monitor) -> Proof:
    """Verify an image in a sandbox whose network has only a loopback interface.

    Raises NotProven: a check failed; MissingHere: a tool is missing; CommandFailed: a program failed.
    """
    run.require(*host_paths.programs(TOOLS if request.levels else SEARCH_TOOLS))
    command = [sys.executable, "-P", "-m", "bakery.verify", str(work)]
    stdin = json.dumps(request.to_json()).encode()
    proof: Proof = sandbox.run_module(command, stdin, monitor, private_network=True)["proof"]
    return proof
