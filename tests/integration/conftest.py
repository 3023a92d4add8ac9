"""What a test of this tier bakes into."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from bakery.runtime import data
from bakery.store.store import Store, manifest_path
from tests.conftest import BASE

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
