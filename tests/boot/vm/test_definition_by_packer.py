"""The example of a definition, baked by packer in a virtual machine and verified with its own tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bakery.store.store import Store
from tests.conftest import Ended, command
from tests.integration import repository
from tests.integration.bake.test_baked_definition import MONITOR, copied
from tests.integration.bake.test_baked_site import site_store

# Two bakes and two boots; test_packer.py shows packer in each run, test_baked_definition.py the definition.
pytestmark = pytest.mark.full


def bake(definition: Path, cache: Store, url: str, *argv: str) -> Ended:
    env = {"WORKER_BAKERY_CACHE": str(cache.root)}
    host = ("--json", "--repository-url", f"site={url}")
    return command("worker-bakery", "bake", str(definition), *host, *argv, env=env)


def test_both_engines_make_the_same_image_of_a_definition(
    baked: dict[str, Any], store: Store, tmp_path: Path
) -> None:
    served = tmp_path / "repository"
    served.mkdir()
    repository.package(served, "site-monitor", "", {"usr/bin/site-monitor": (MONITOR, 0o755)})
    definition = copied(tmp_path / "site", repository.index(served))
    found = {}
    with repository.served(served) as url:
        for engine, level in (("packer", "pool"), ("chroot", "none")):
            (tmp_path / engine).mkdir()
            own, output = site_store(store, tmp_path / f"{engine}-cache"), str(tmp_path / engine)
            done = bake(definition, own, url, "--engine", engine, "--verify", level, "-o", output)
            assert done.status == 0, done.err[-5000:]
            found[engine] = json.loads(done.out)
    assert found["packer"]["id"] == found["chroot"]["id"]
    for level in ("offline", "boot", "pool"):
        entry = found["packer"]["proof"][level]
        assert "test_site.py" in entry["tests"], entry
    done = command("worker-bakery", "diff", "--json", *(found[engine]["path"] for engine in found))
    compared = json.loads(done.out)
    assert (done.status, compared["differences"]) == (0, []), done.err
