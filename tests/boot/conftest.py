"""A pool and its network for all tests of this tier, and machines that come to it and go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakery.machines import accelerator as accelerators
from bakery.machines.accelerator import Accelerator
from bakery.machines.needs import Image
from bakery.machines.network import Network, isolated
from bakery.verify import pool as pools
from bakery.verify.pool import Pool
from provisioner.monitor import Silent
from tests.conftest import BASE


@pytest.fixture(scope="session")
def worker_image(baked: dict[str, Any], image_root: Path) -> Image:
    return Image(Path(baked["path"]), image_root, BASE.login)


@pytest.fixture(scope="session")
def prominence_image(baked_prominence: dict[str, Any], prominence_root: Path) -> Image:
    return Image(Path(baked_prominence["path"]), prominence_root, BASE.login)


@pytest.fixture(scope="session")
def accelerator(worker_image: Image, tmp_path_factory: pytest.TempPathFactory) -> Accelerator:
    """The best that a virtual machine has here."""
    kernel = accelerators.kernel(worker_image.root)
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
    with pools.beside(worker_image.root, tmp_path_factory.mktemp("pool"), network) as up:
        yield up
