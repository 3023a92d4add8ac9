"""worker-bakery verify --pool-shape ospool: a pool as the OSPool is, whose first manager dies meanwhile."""

from __future__ import annotations

import json

import pytest

from bakery.machines.needs import Image
from tests.conftest import command

CHECKS = [
    "seen in both collectors, power-on to",
    "a job of TG-PROOF01 as in the OSPool's documentation was started",
    "the first central manager was stopped, and the worker reported it",
    "the running job was completed, its output came back",
    "a second such job, matched without the first manager, ran on it",
    "a job of TG-SOMEBODY-ELSE as in the OSPool's documentation was refused",
    "powered itself off",
]


# test_pool_shape.py has such a worker in such a pool in each run.
@pytest.mark.full
def test_a_worker_outlives_its_first_manager(worker_image: Image) -> None:
    like = ("--machine", "namespace", "--pool-shape", "ospool", "--json")
    done = command("worker-bakery", "verify", str(worker_image.path), *like)
    assert done.status == 0, done.err[-6000:]
    proof = json.loads(done.out)["proof"]
    checks = proof["pool"]["checks"]
    assert [check["what"][: len(words)] for check, words in zip(checks, CHECKS, strict=True)] == CHECKS
    assert {level: entry.get("pool_shape") for level, entry in proof.items()} == {
        "offline": None,
        "boot": "ospool",
        "pool": "ospool",
    }
