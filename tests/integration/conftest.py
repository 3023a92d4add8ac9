"""A baked image for all tests of this tier, and ways to open it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakery import bases, data, qemu
from bakery.store import Store, manifest_path
from provisioner import run
from provisioner.disk import mount_root
from tests.conftest import command

BASE = bases.find(bases.DEFAULT)

# The guest runtime, from where it lies. What lies there is copied into images: nothing compiled.
sys.dont_write_bytecode = True
sys.path.insert(0, str(data.WORKER / "common/usr/lib/worker-bakery"))


@pytest.fixture(scope="session", autouse=True)
def root_only() -> None:
    if os.geteuid() != 0:
        pytest.fail("these tests mount disks and make namespaces: run them as root")


@pytest.fixture(scope="session")
def baked() -> dict[str, Any]:
    """The default image, baked (or found in the store) and proven offline."""
    done = command("bake-image", "--verify", "offline", "--json")
    assert done.status == 0, done.err[-3000:]
    result: dict[str, Any] = json.loads(done.out)
    return result


@pytest.fixture
def private_store(baked: dict[str, Any], store: Store, tmp_path: Path) -> Store:
    """A store of the test's own that has the base and the downloaded packages, and nothing else."""
    own = Store(tmp_path / "cache")
    own.base(BASE.id).parent.mkdir(parents=True)
    for path in (store.base(BASE.id), manifest_path(store.base(BASE.id))):
        shutil.copyfile(path, own.base(BASE.id).parent / path.name)
    (own.root / "packages").symlink_to(store.root / "packages")
    return own


@pytest.fixture(scope="session")
def image_root(baked: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The baked image's root file system, mounted read-only."""
    folder = tmp_path_factory.mktemp("image")
    disk, root = folder / "disk.raw", folder / "root"
    root.mkdir()
    qemu.to_raw(Path(baked["path"]), disk)
    mount_root(disk, root, read_only=True)
    yield root
    run.call(["umount", str(root)])
    disk.unlink()


@pytest.fixture
def worker_root(image_root: Path, tmp_path: Path) -> Iterator[Path]:
    """A fresh, writable root directory of a worker: a layer in memory over the image."""
    layer, root = tmp_path / "layer", tmp_path / "worker-root"
    layer.mkdir()
    root.mkdir()
    run.call(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(layer)])
    for name in ("upper", "work"):
        (layer / name).mkdir()
    layers = f"lowerdir={image_root},upperdir={layer}/upper,workdir={layer}/work"
    run.call(["mount", "-t", "overlay", "-o", layers, "overlay", str(root)])
    yield root
    run.call(["umount", str(root)])
    run.call(["umount", str(layer)])
