"""worker-bakery verify --pool-shape ospool: a pool as the OSPool is, whose first manager dies meanwhile."""

from __future__ import annotations

import json

from bakery.machines.needs import Image
from tests.conftest import command

SHOWN = [
    "seen in both collectors, power-on to",
    "a job of TG-PROOF01 in the manner of the OSPool's guides was taken",
    "the first central manager was stopped, and the worker says so",
    "the job ran on to its end, its output came back",
    "a second such job, matched without the first manager, ran on it",
    "a job of TG-SOMEBODY-ELSE in the manner of the OSPool's guides was refused",
    "powered itself off",
]


def test_a_worker_outlives_its_first_manager(worker_image: Image) -> None:
    like = ("--machine", "namespace", "--pool-shape", "ospool", "--json")
    done = command("worker-bakery", "verify", str(worker_image.path), *like)
    assert done.status == 0, done.err[-6000:]
    proof = json.loads(done.out)["proof"]
    checks = proof["pool"]["checks"]
    assert [check["what"][: len(words)] for check, words in zip(checks, SHOWN, strict=True)] == SHOWN
    assert {rung: said.get("pool_shape") for rung, said in proof.items()} == {
        "offline": None,
        "boot": "ospool",
        "pool": "ospool",
    }
