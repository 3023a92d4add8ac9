"""What a command imports that has nothing to bake, seen in the process itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bakery.bake.options import Options, make_plan
from bakery.definition import reading
from bakery.store.store import Store, commit
from provisioner import plan as plans
from tests.conftest import BIN

# By whom: ssh, packer's files, downloads, image tests, tokens, user-data, tables; processes.
HEAVY = {
    *("paramiko", "cryptography", "invoke", "urllib3", "testinfra", "pytest", "jwt"),
    *("yaml", "rich", "pycdlib", "difflib", "email", "importlib.metadata", "subprocess"),
    *("shtab", "argparse_manpage"),
}


def imported(name: str, *argv: str, cache: Path) -> tuple[set[str], str]:
    """The modules that the command has imported, by Python's own account, and what it printed."""
    env = {**os.environ, "WORKER_BAKERY_CACHE": str(cache), "PYTHONPROFILEIMPORTTIME": "1"}
    done = subprocess.run([BIN / name, *argv], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [row for row in done.stderr.splitlines() if row.startswith("import time:")]
    return {row.rpartition("|")[2].strip() for row in rows}, done.stdout


@pytest.mark.parametrize("asked", ["--help", "--list-bases", "--dry-run", "--explain"])
def test_what_is_asked_before_a_bake(asked: str, tmp_path: Path) -> None:
    modules, _ = imported("bake-image", asked, cache=tmp_path / "cache")
    assert "argparse" in modules
    assert not modules & (HEAVY - ({"difflib"} if asked == "--explain" else set()))


@pytest.mark.parametrize(
    ("argv", "mine"),
    [
        (["--help"], set()),
        # Of submit and description, the options only.
        (["bake", "--help"], {"bake", "bake_options", "submit", "description"}),
        (["verify", "--help"], {"verify"}),
        (["apply", "--help"], {"remote"}),
        (["bases"], {"bases"}),
    ],
)
def test_worker_bakery_imports_one_command(argv: list[str], mine: set[str], tmp_path: Path) -> None:
    modules, _ = imported("worker-bakery", *argv, cache=tmp_path / "cache")
    assert not modules & HEAVY
    commands = {name.split(".")[2] for name in modules if name.startswith("bakery.commands.")}
    assert commands == mine | {"main", "command_line"}


def test_toml_is_read_only_where_there_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    modules, _ = imported("bake-image", "--help", cache=tmp_path / "cache")
    assert "tomllib" not in modules
    (tmp_path / "worker-bakery").mkdir()
    (tmp_path / "worker-bakery" / "config.toml").write_text('mirror = "http://mirror.example.edu/debian"')
    modules, printed = imported("bake-image", "--help", cache=tmp_path / "cache")
    assert "tomllib" in modules and "http://mirror.example.edu/debian" in printed


def test_an_image_of_the_store(tmp_path: Path) -> None:
    """All of the ordinary way, its proof shown at the end; what the file holds nobody looks at."""
    _, plan = make_plan(Options())
    store = Store(tmp_path / "cache")
    (tmp_path / "image").write_bytes(b"an image")
    commit(tmp_path / "image", store.image(plan), manifest(plans.to_json(plan)))
    modules, printed = imported("bake-image", "--verify", "offline", cache=store.root)
    assert printed == f"{store.image(plan)}\n"
    assert "bakery.bake.lookup" in modules
    assert not modules & (HEAVY | {"bakery.bake.build", "provisioner.process.run"})


DEFINITION = """
name = "site"
packages = ["tmux"]
[worker-defaults]
CentralManager = "cm.example.edu"
[condor]
WORKER_GUARDS = "TARGET.RequestMemory < 64000"
[[files]]
path = "/etc/motd"
text = "$site"
template = true
[variables]
site = "Example"
[[commands]]
title = "x"
argv = ["true"]
"""


def test_an_image_of_the_store_by_its_definition(tmp_path: Path) -> None:
    """Neither what bakes nor what finds the lines of mistakes."""
    definition = tmp_path / "worker.toml"
    definition.write_text(DEFINITION)
    [(_, options)] = reading.read([definition])
    _, plan = make_plan(options)
    store = Store(tmp_path / "cache")
    (tmp_path / "image").write_bytes(b"an image")
    commit(tmp_path / "image", store.image(plan), manifest(plans.to_json(plan)))
    modules, printed = imported("bake-image", str(definition), "--verify", "offline", cache=store.root)
    assert printed == f"{store.image(plan)}\n"
    assert "bakery.definition.reading" in modules
    rare = {"tree_sitter", "bakery.definition.mistakes.structure", "bakery.definition.printed"}
    assert not modules & (HEAVY | rare | {"bakery.bake.build", "provisioner.process.run"})


def manifest(plan: dict[str, Any]) -> dict[str, Any]:
    checks = [{"what": "image tests on the mounted root: 99 passed", "seconds": 4.7}]
    return {
        "id": plan["id"],
        "base": plan["base"],
        "kind": plan["kind"],
        "size": len(b"an image"),
        "proof": {"offline": {"checks": checks}},
        "plan": plan,
    }
