"""The guest runtime is imported from where it lies in the image's tree, not as an installed one."""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bakery.runtime import data

RUNTIME = data.WORKER / "common/usr/lib/worker-bakery"

# What lies there is copied into images: compiled files lie apart (tests/conftest.py).
sys.path.insert(0, str(RUNTIME))

from worker_runtime.configuration import kind  # noqa: E402
from worker_runtime.system import files, paths  # noqa: E402


def kind_of(name: str) -> kind.Kind:
    """As the worker itself would read it."""
    folder = data.WORKER / name / "usr/lib/worker-bakery"
    files = (folder / "kind.json", folder / "keys.json", RUNTIME / "pools.json")
    return kind.from_tables(*(json.loads(file.read_text()) for file in files))


OSG, PROMINENCE = kind_of("osg"), kind_of("prominence")
KEYS = OSG.keys
files.SETTLED = 0.001  # the files of tests are complete: nobody writes while they are read
paths.DATA = str(data.WORKER / "osg/usr/lib/worker-bakery")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that others can reach, as pytest's own cannot be."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
