"""A pool and its network for all tests of this tier, and machines that come to it and go."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakery.machines import accelerator as accelerators
from bakery.machines.accelerator import Accelerator
from bakery.machines.needs import Image
from bakery.machines.network import Network, isolated
from bakery.store.store import Store, manifest_path
from bakery.verify.pool import throwaway_pool as pools
from bakery.verify.pool.throwaway_pool import Pool
from provisioner.events import Silent
from provisioner.process import run
from tests.conftest import BASE, BIN


@pytest.fixture(scope="session")
def worker_image(baked: dict[str, Any], image_root: Path) -> Image:
    return Image(Path(baked["path"]), image_root, BASE.login)


@pytest.fixture(scope="session")
def prominence_image(baked_prominence: dict[str, Any], prominence_root: Path) -> Image:
    return Image(Path(baked_prominence["path"]), prominence_root, BASE.login)


@pytest.fixture(scope="session")
def accelerator(worker_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Accelerator:
    """The best that a virtual machine has here."""
    kernel = accelerators.find_kernel(worker_image.root)
    return accelerators.choose("auto", kernel, tmp_path_factory.mktemp("accelerator"), Silent())


@pytest.fixture(scope="session")
def network(root_only: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with isolated(tmp_path_factory.mktemp("network")) as made:
        yield made


@pytest.fixture(scope="session")
def pool(network: Network, worker_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """One for all: each test has groups and projects of its own.

    A worker whose machine was ended stays in the collector for a while, and would be matched.
    """
    with pools.start_in_sandbox(worker_image.root, tmp_path_factory.mktemp("pool"), network) as up:
        yield up


@dataclass(frozen=True)
class Seen:
    """What `bake-image --json` told while it worked, and what lay in its work folder then."""

    result: dict[str, Any]
    events: list[dict[str, Any]]
    files: dict[str, bytes]  # by name
    modes: dict[str, int]
    listeners: list[str]  # local addresses at the forwarded port
    arguments: bytes  # of all processes
    store: Store


@pytest.fixture(scope="session")
def packer_baked(
    baked: dict[str, Any], store: Store, accelerator: Accelerator, tmp_path_factory: pytest.TempPathFactory
) -> Seen:
    """The default image by the engine packer, from the same base, into a store that has nothing else."""
    own = Store(tmp_path_factory.mktemp("packer") / "cache")
    own.base(BASE.id).parent.mkdir(parents=True)
    for path in (store.base(BASE.id), manifest_path(store.base(BASE.id))):
        shutil.copyfile(path, own.base(BASE.id).parent / path.name)
    return bake_by_packer(own, accelerator)


def bake_by_packer(own: Store, accelerator: Accelerator) -> Seen:
    argv = ["--engine", "packer", "--accel", accelerator.name, "--verify", "offline", "--json"]
    argv += ["--checkpoints", "all"]
    events: list[dict[str, Any]] = []
    looked: dict[str, Any] = {}
    with subprocess.Popen(
        [BIN / "bake-image", *argv],
        env={**os.environ, "WORKER_BAKERY_CACHE": str(own.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr and process.stdout
        for row in process.stderr:
            events.append(json.loads(row))
            if events[-1].get("name", "").startswith("condor: ") and not looked:
                looked = _look(own, events)
        result = process.stdout.read()
    assert process.returncode == 0, events[-30:]
    return Seen(json.loads(result), events, **looked, store=own)


def _look(own: Store, events: list[dict[str, Any]]) -> dict[str, Any]:
    """In the midst of it."""
    [folder] = own.root.glob("work/*/packer")
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".qcow2"]
    texts = [event["text"] for event in events if event["event"] == "line"]
    [port] = [text.rpartition(": ")[2].strip(".") for text in texts if "port for communicator" in text]
    listening = run.call(["ss", "-Hltn", f"sport = :{port}"]).stdout.splitlines()
    return {
        "files": {str(path.relative_to(folder)): path.read_bytes() for path in files},
        "modes": {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in files},
        "listeners": [row.split()[3] for row in listening],
        "arguments": b"\n".join(_arguments()),
    }


def _arguments() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended while we looked
            yield path.read_bytes()
