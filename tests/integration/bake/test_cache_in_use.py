"""The cache with concurrent bakes, damaged files and a limit; real bakes in a separate cache."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakery.runtime import data
from bakery.store.store import Store, manifest_path
from provisioner.events import Event
from tests.conftest import BASE, BIN, Folders, command

Process = subprocess.Popen[str]
NEW_FILE = "worker/osg/etc/motd.d/changed"


@pytest.fixture(scope="module")
def own(baked: dict[str, Any], store: Store, folders: Folders) -> Store:
    """A cache with the base and the packages; the tests of this module share it and run in order."""
    own = Store(folders("store") / "cache")
    own.base(BASE.id).parent.mkdir(parents=True)
    for path in (store.base(BASE.id), manifest_path(store.base(BASE.id))):
        shutil.copyfile(path, own.base(BASE.id).parent / path.name)
    shutil.copytree(store.root / "packages", own.root / "packages", symlinks=True)
    return own


@pytest.fixture(scope="module")
def changed(folders: Folders) -> Path:
    """A checkout with an additional file in the worker, so that its plan has another id."""
    folder = folders("changed")
    for name in ("bakery", "provisioner", "packer", "worker", "cloud-init", "tests/image"):
        shutil.copytree(data.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / NEW_FILE).parent.mkdir(parents=True)
    (folder / NEW_FILE).write_text("a changed worker\n")
    return folder


def start(own: Store, checkout: Path | None = None) -> Process:
    argv = [sys.executable, "-P", "-m", "bakery.commands.bake"] if checkout else [BIN / "bake-image"]
    more = {"PYTHONPATH": str(checkout)} if checkout else {}
    return subprocess.Popen(
        [*argv, "--json", "--verify", "none", "--checkpoints", "all"],
        env={**os.environ, "WORKER_BAKERY_CACHE": str(own.root), **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def events(process: Process) -> Iterator[Event]:
    assert process.stderr
    return (json.loads(row) for row in process.stderr)


def ended(process: Process) -> tuple[dict[str, Any], list[Event]]:
    with process:
        reported = list(events(process))
        assert process.stdout
        out = process.stdout.read()
    assert process.returncode == 0, reported[-1]
    return json.loads(out), reported


def texts(reported: list[Event]) -> str:
    return "\n".join(event["text"] for event in reported if event["event"] in ("note", "warning"))


def did(reported: list[Event], phase: str) -> bool:
    return any(event["event"] == "end" and event["name"] == phase for event in reported)


def cache(own: Store, *argv: str) -> dict[str, Any]:
    done = command("worker-bakery", "cache", *argv, "--json", env={"WORKER_BAKERY_CACHE": str(own.root)})
    assert done.status == 0, done.err
    result: dict[str, Any] = json.loads(done.out)
    return result


def test_concurrent_bakes_share_results_and_prune_removes_nothing_in_use(own: Store, changed: Path) -> None:
    """The second bake is of the same image. The third, of another, does not wait for the stopped first."""
    first = start(own, changed)
    for event in events(first):
        if event["event"] == "begin" and event["name"] == "condor: install condor":
            break
    second = start(own, changed)
    assert "Waiting for its result" in next(events(second))["text"]
    first.send_signal(signal.SIGSTOP)
    pruned = {entry["kind"] for entry in cache(own, "prune", "--all")["removed"]}
    assert pruned <= {"checkpoint", "packages"}  # bakes work on links to the packages
    three, did_three = ended(start(own))
    assert did(did_three, "condor: install condor")
    first.send_signal(signal.SIGCONT)
    (one, did_one), (two, did_two) = map(ended, (first, second))
    assert did(did_one, "compress the image")
    assert [event["event"] for event in did_two] == ["note"]
    assert (one["from_store"], two["from_store"]) == (False, True)
    assert two["sha256"] == one["sha256"]
    assert three["id"] != one["id"]
    assert {
        entry["kind"] for entry in cache(own, "list", "--verify")["entries"] if entry["damaged"]
    } == set()
    assert list((own.root / "work").iterdir()) == list((own.root / "locks").iterdir()) == []
    assert list((own.packages("trixie") / "archives").glob("condor_*.deb"))  # merged after prune


def explained(own: Store, *prefix: str, **env: str) -> dict[str, Any]:
    argv = [sys.executable, "-P", "-m", "bakery.commands.bake", "--explain", "--json"]
    done = subprocess.run(
        [*prefix, *argv],
        env={**os.environ, "WORKER_BAKERY_CACHE": str(own.root), **env},
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def state(own: Store) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in own.root.rglob("*")}


def test_explain_reports_checkpoint_and_change_without_writing(own: Store, changed: Path) -> None:
    (changed / NEW_FILE).write_text("changed again\n")
    before = state(own)
    explanation = explained(own, PYTHONPATH=str(changed))
    assert state(own) == before
    assert explanation["cached"]["by"].startswith("checkpoint ")
    first = next(step for step in explanation["steps"] if not step["cached"])
    assert (first["role"], first["title"]) == ("osg_worker", "install the OSG worker's runtime")
    (change,) = explanation["changes"]
    assert change["title"] == first["title"]
    assert change["lines"][-2:] == ["-a changed worker", "+changed again"]
    assert all(step["cached"] for step in explained(own)["steps"])


def truncate(path: Path) -> None:
    with path.open("r+b") as disk:
        disk.truncate(path.stat().st_size // 2)


def test_truncated_files_are_renamed_and_created_again(own: Store) -> None:
    plan = json.loads(command("bake-image", "--dry-run", "--json").out)
    ids, name = {step["id"] for step in plan["steps"]}, f"{plan['kind']}-{plan['base']}-{plan['id'][:12]}"
    (image,) = (path for path in (own.root / "images").glob("*.qcow2") if path.stem == name)
    checkpoints = [path for path in (own.root / "checkpoints").glob("*.qcow2") if path.stem in ids]
    assert checkpoints
    for path in (image, *checkpoints):
        truncate(path)
    result, reported = ended(start(own))
    warned = [event["text"] for event in reported if event["event"] == "warning"]
    assert "image" in warned[0]
    assert ["checkpoint" in text for text in warned[1:]] == [True for _ in checkpoints]
    assert result["from_store"] is False
    assert image.stat().st_size == result["size"]
    assert did(reported, "copy the base")
    damaged = {entry["path"] for entry in cache(own, "prune")["removed"]}
    assert damaged == {str(path.with_suffix(".damaged")) for path in (image, *checkpoints)}


def test_bake_enforces_the_limit_and_reports_it_once(
    own: Store, changed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bake starts from a checkpoint. Images and the base are kept even above the limit."""
    monkeypatch.setenv("WORKER_BAKERY_CACHE_LIMIT", "0.1")
    images = len(list((own.root / "images").glob("*.qcow2")))
    _, reported = ended(start(own, changed))
    assert did(reported, "copy the checkpoint")
    assert texts(reported).count("limit of 0.1 GiB") == 1
    assert list((own.root / "checkpoints").iterdir()) == []
    assert own.base(BASE.id).exists()
    assert len(list((own.root / "images").glob("*.qcow2"))) == images + 1
