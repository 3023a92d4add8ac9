"""Verification of each broken image fails with the right message."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.machines.needs import Image
from tests import broken
from tests.conftest import command

# Every run tests this one; the others take 30 s each and only the full tests include them.
ALWAYS = "START lacks the image's guard"


@pytest.mark.parametrize(
    "defect",
    [name if name == ALWAYS else pytest.param(name, marks=pytest.mark.full) for name in broken.DEFECTS],
)
def test_a_broken_image_fails_verification(defect: str, worker_image: Image, tmp_path: Path) -> None:
    with broken.broken(worker_image.path, defect, tmp_path) as image:
        done = command("worker-bakery", "verify", str(image), "--machine", "namespace")
    assert done.status == 4, done.err[-3000:]
    assert broken.DEFECTS[defect].message in done.err, done.err[-3000:]


def test_a_good_image_passes_verification(worker_image: Image) -> None:
    done = command("worker-bakery", "verify", str(worker_image.path), "--machine", "namespace")
    assert done.status == 0, done.err[-3000:]
