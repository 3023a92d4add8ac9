"""worker-bakery bake --submit on a real pool: jobs of DAGMan bake images and bring them back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bakery.commands import bake
from bakery.commands.bake_options import parser
from bakery.commands.submit import command as submit_command
from bakery.runtime import conditions
from bakery.store.store import Store
from bakery.submit import results, submission
from bakery.submit.images import JobImage
from provisioner.errors import Unreachable
from tests.conftest import Folders
from tests.integration import pool_of_nodes
from tests.integration.pool_of_nodes import Node, Pool

PROG = "worker-bakery bake"
NAMES = ("osg", "prominence", "udocker", "container")
FOUR = """\
verify = "none"
output = "images/"

[[image]]
name = "osg"

[[image]]
name = "prominence"
worker = "prominence"

[[image]]
name = "udocker"
[image.roles.udocker]

[[image]]
name = "container"
format = "oci"
"""
ON_C = f'requirements = TARGET.Machine == "node-c.{pool_of_nodes.DOMAIN}"'
MIDDLE = 650 << 20  # bytes: the disk has the base and a part of the packages
# The disk of this machine is shared by all nodes, and by other tests.
SMALL = ("--submit-command", "request_disk = 1GB")
NO_ROOT = ("--submit-command", "+WantsNoRoot = True", "--submit-command", ON_C)


@pytest.fixture(scope="module")
def pool(image_root: Path, store: Store, baked: dict[str, Any], folders: Folders) -> Iterator[Pool]:
    """Two execute nodes with the cache of this machine, and one without a rule of sudo."""
    work = folders("pool")
    without_root = Node(pool_of_nodes.HOME / "cache-c", Path(baked["path"]))
    nodes = {"node-a": Node(store.root), "node-b": Node(store.root), "node-c": without_root}
    with pool_of_nodes.running(image_root, work, nodes) as up:
        pool_of_nodes.tools_of_access_point(up, work / "tools")
        yield up


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that no node accepts is an error here."""
    monkeypatch.setattr(submission, "_LIMIT", 1200)


def job(pool: Pool, label: str, *arguments: str, level: str = "none") -> JobImage:
    output = pool.folder / f"{label}.qcow2"
    return JobImage(label=label, output=output, architecture="x86_64", arguments=arguments, level=level)


def submit(pool: Pool, name: str, images: list[JobImage], *options: str) -> int:
    """`worker-bakery bake --submit --json`, with these images instead of that of the options."""
    argv = ["--submit", "--json", "--submit-dir", str(pool.folder / name), *SMALL, *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(pool.tools), prepend=":")
        return submit_command.submit(parser(PROG).parse_args(argv), images, PROG)


def nodes(capsys: pytest.CaptureFixture[str]) -> Mapping[str, dict[str, Any]]:
    """What --json has printed last, by node."""
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    return {one["node"]: one for one in found["images"]}


def digest(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def test_an_image_comes_back_and_bad_input_is_told_and_not_tried_again(
    pool: Pool, baked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    odd = pool.folder / 'it\'s; "a=b" $(x) $$(y) %n, \\.qcow2'
    good = JobImage(label="osg", output=odd, architecture="x86_64", level="none")
    code = submit(pool, "two.dag", [good, job(pool, "wrong-1.2", "--base=debain13")], "--wait")
    found = nodes(capsys)
    assert (code, found["osg"]["state"]) == (2, results.BAKED), (found, pool.logs())
    assert found["osg"]["detail"] == str(odd)
    assert found["osg"]["verified"] in ("offline", "boot", "pool")  # by the proof of the image in the cache
    assert digest(odd) == baked["sha256"]
    assert json.loads(odd.with_suffix(".json").read_text())["id"] == baked["id"]
    wrong = found["wrong-1_2"]
    assert (wrong["state"], wrong["starts"]) == (results.FAILED, 1)
    assert "Did you mean debian13?" in wrong["detail"]
    assert not (pool.folder / "wrong-1.2.qcow2").exists()


def test_without_root_an_image_is_said_to_be_not_verified(
    pool: Pool, baked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    images = [job(pool, "unproven", level=""), job(pool, "demanded", level="boot")]
    code = submit(pool, "no-root.dag", images, "--wait", "--submit-retries", "0", *NO_ROOT)
    found = nodes(capsys)
    assert code == 3, (found, pool.logs())
    assert found["unproven"]["verified"].startswith("not verified: no root on node-c")
    assert digest(pool.folder / "unproven.qcow2") == baked["sha256"]
    errors = (pool.folder / "no-root.dag/nodes/unproven/job.0.err").read_text()
    assert "THE IMAGE IS NOT VERIFIED" in errors
    assert "--verify boot requires root" in found["demanded"]["detail"]


def test_a_job_on_hold_is_removed_and_its_reason_told(
    pool: Pool, capsys: pytest.CaptureFixture[str]
) -> None:
    hold = ("on_exit_hold = ExitCode == 2", 'on_exit_hold_reason = "The site holds such jobs."')
    options = [word for text in hold for word in ("--submit-command", text)]
    wrong = job(pool, "held", "--base=nothing")
    code = submit(pool, "held.dag", [wrong], "--wait", "--submit-retries", "0", *options)
    held = nodes(capsys)["held"]
    assert (code, held["state"]) == (1, results.FAILED), (held, pool.logs())
    assert "The site holds such jobs." in held["detail"]


def test_condor_submit_accepts_the_container_universe(pool: Pool) -> None:
    """No job of it is run here: it would need a registry."""
    at = pool.folder / "container.dag"
    image = "docker://registry.example.org/worker-bakery:1"
    argv = ["--submit-files", str(at), "--submit-container", image, "--json"]
    assert submit_command.submit(parser(PROG).parse_args(argv), [job(pool, "osg")], PROG) == 0
    pool.manager.tool("chown", "-R", pool_of_nodes.SUBMITTER, str(at))
    inside = f"cd {at} && exec condor_submit -dry-run - bake.sub node=osg attempt=0 arch=X86_64"
    ad = pool.manager.tool("/bin/sh", "-c", inside, user=pool_of_nodes.SUBMITTER)
    assert f'ContainerImage="{image}"' in ad
    assert "WantContainer=true" in ad
    assert "DockerOverrideEntrypoint=true" in ad
    assert 'Requirements=((TARGET.Arch == "X86_64")) && ' in ad
    assert "HasContainer" in ad


def test_an_access_point_whose_schedd_does_not_answer(pool: Pool) -> None:
    pool.manager.tool("condor_off", "-fast", "-daemon", "schedd")
    conditions.wait_until("the schedd has ended", lambda: _schedds(pool), lambda seen: not seen)
    with pytest.raises(Unreachable, match="schedd"):
        submit(pool, "none.dag", [job(pool, "osg")])
    assert not (pool.folder / "none.dag").exists()
    pool.manager.tool("condor_on", "-daemon", "schedd")


def _schedds(pool: Pool) -> list[str]:
    """The schedds that run in the PID namespace of the access point."""
    processes = pool.manager.tool("ps", "-e", "-o", "comm=").split()
    return [name for name in processes if name == "condor_schedd"]


@pytest.mark.full
def test_four_images_arrive_although_a_node_is_killed(
    image_root: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each bakes from the base, with a cache of its node's own; then all of them are intact."""
    caches = {name: tmp_path / f"cache-{name}" for name in ("node-a", "node-b")}
    wanted = {name: Node(pool_of_nodes.cache_with_base(store, own)) for name, own in caches.items()}
    with pool_of_nodes.running(image_root, tmp_path, wanted) as pool:
        pool_of_nodes.tools_of_access_point(pool, tmp_path / "tools")
        folder = pool.folder / "four.dag"
        (pool.folder / "four.toml").write_text(FOUR)
        (pool.folder / "images").mkdir()
        pool.manager.tool("chown", pool_of_nodes.SUBMITTER, str(pool.folder / "images"))
        argv = [str(pool.folder / "four.toml"), "--submit", "--submit-dir", str(folder)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", str(pool.tools), prepend=":")
            assert bake.main([*argv, *SMALL, "--submit-command", "job_lease_duration = 30"], PROG) == 0
        victim = conditions.wait_until(
            "a bake on node-a", lambda: baking(folder, caches["node-a"]), bool, 600
        )
        pool.kill("node-a")
        assert bake.main(["--submit-status", str(folder), "--wait", "--json"], PROG) == 0, pool.logs()
        told = nodes(capsys)
        assert {name: one["state"] for name, one in told.items()} == dict.fromkeys(NAMES, results.BAKED)
        assert told[victim]["starts"] > 1
        assert told[victim]["machine"].startswith("node-b.")
        ids = set()
        for one in told.values():
            output = Path(one["detail"])
            manifest = json.loads(output.with_suffix(".json").read_text())
            assert output.parent == pool.folder / "images"
            assert digest(output) == manifest["sha256"]
            ids.add(manifest["id"])
        assert len(ids) == len(told)


def baking(folder: Path, cache: Path) -> str:
    """The node whose job is in the midst of a bake on node-a: it has written so much to its work folder."""
    written = sum(path.stat().st_blocks * 512 for path in cache.glob("work/**/*") if path.is_file())
    on_a = [one.node for one in results.read(folder) if one.machine.startswith("node-a.")]
    return on_a[-1] if written > MIDDLE and on_a else ""
