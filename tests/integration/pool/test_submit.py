"""worker-bakery bake --submit on a real pool: jobs of DAGMan bake images and bring them back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakery.commands.bake_options import parser
from bakery.commands.submit import command as submit_command
from bakery.store.store import Store
from bakery.submit.images import JobImage
from tests.integration import pool_of_nodes
from tests.integration.pool_of_nodes import Pool

PROG = "worker-bakery bake"


@pytest.fixture
def pool(image_root: Path, store: Store, tmp_path: Path) -> Iterator[Pool]:
    """Two execute nodes that use the cache of this machine."""
    with pool_of_nodes.running(image_root, tmp_path, {"node-a": store.root, "node-b": store.root}) as up:
        yield up


@pytest.fixture
def tools(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """condor_submit_dag on the PATH."""
    folder = pool_of_nodes.tools_of_access_point(pool, tmp_path / "tools")
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


def bake(pool: Pool, images: list[JobImage], *options: str) -> int:
    """`worker-bakery bake --submit --wait --json`, with these images instead of that of the options."""
    found = parser(PROG).parse_args(["--submit", "--wait", "--json", *options])
    try:
        return submit_command.submit(found, images, PROG)
    except Exception:
        print(pool.logs())
        raise


def results(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    found = json.loads(capsys.readouterr().out)
    return {one["node"]: one for one in found["images"]}


def test_jobs_bring_an_image_and_the_reason_of_a_failure(
    pool: Pool, tools: Path, baked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    odd = pool.folder / 'it\'s; "a=b" $(x) $$(y) %n, \\.qcow2'
    images = [
        JobImage(label="osg", output=odd, architecture="x86_64", arguments=("--worker=osg",), level="none"),
        JobImage(
            label="wrong-1.2",
            output=pool.folder / "wrong.qcow2",
            architecture="x86_64",
            arguments=("--base=debain13",),
        ),
    ]
    code = bake(pool, images, "--submit-dir", str(pool.folder / "two.dag"))
    found = results(capsys)
    assert code == 2, (found, pool.logs())
    assert found["osg"]["state"] == "baked"
    assert found["osg"]["detail"] == str(odd)
    assert found["osg"]["verified"] == "offline"  # the proof of the image in the cache
    assert hashlib.sha256(odd.read_bytes()).hexdigest() == baked["sha256"]
    assert json.loads(odd.with_suffix(".json").read_text())["id"] == baked["id"]
    assert found["wrong-1_2"]["state"] == "failed"
    assert "Did you mean debian13?" in found["wrong-1_2"]["detail"]
    assert found["wrong-1_2"]["starts"] == 1  # exit code 2: no other attempt
    assert not (pool.folder / "wrong.qcow2").exists()
