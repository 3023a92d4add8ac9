"""What a test of this tier bakes into."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.network import Network, isolated
from bakery.runtime import data
from bakery.store.store import Store, manifest_path
from bakery.verify.pool import throwaway_pool
from bakery.verify.pool.throwaway_pool import Pool
from tests.conftest import BASE, Folders

# The guest runtime, from where it lies.
sys.path.insert(0, str(data.WORKER / "common/usr/lib/worker-bakery"))


@pytest.fixture(scope="session", autouse=True)
def all_as_root(root_only: None) -> None:
    """Every test here is for root."""


@pytest.fixture
def private_store(baked: dict[str, Any], store: Store, tmp_path: Path) -> Store:
    """A store of the test's own that has the base and the downloaded packages, and nothing else."""
    own = Store(tmp_path / "cache")
    own.base(BASE.id).parent.mkdir(parents=True)
    for path in (store.base(BASE.id), manifest_path(store.base(BASE.id))):
        shutil.copyfile(path, own.base(BASE.id).parent / path.name)
    (own.root / "packages").symlink_to(store.root / "packages")
    return own


@pytest.fixture(scope="module")
def network(folders: Folders) -> Iterator[Network]:
    with isolated(folders("network")) as made:
        yield made


@pytest.fixture(scope="module")
def pool(network: Network, image_root: Path, folders: Folders) -> Iterator[Pool]:
    """A throw-away pool of the default image's HTCondor, in the network of the module."""
    with throwaway_pool.start_in_sandbox(image_root, folders("pool"), network) as up:
        yield up
