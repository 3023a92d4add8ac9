"""What a race could hide: each of these broken images fails its proof, in the right words."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakery.machines.needs import Image
from tests import broken
from tests.conftest import command

# One of them each time; the others are half a minute each, and tell the same of the proof.
ALWAYS = "START has no guard of the image's"


@pytest.mark.parametrize(
    "way", [way if way == ALWAYS else pytest.param(way, marks=pytest.mark.full) for way in broken.WAYS]
)
def test_a_broken_image_fails_its_proof(way: str, worker_image: Image, tmp_path: Path) -> None:
    with broken.broken(worker_image.path, way, tmp_path) as image:
        done = command("worker-bakery", "verify", str(image), "--machine", "namespace")
    assert done.status == 4, done.err[-3000:]
    assert broken.WAYS[way].said in done.err, done.err[-3000:]


def test_a_good_image_passes_it(worker_image: Image) -> None:
    done = command("worker-bakery", "verify", str(worker_image.path), "--machine", "namespace")
    assert done.status == 0, done.err[-3000:]
