"""The example of a definition with every key, baked by the command with the chroot engine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakery.runtime import qemu_img
from bakery.runtime.mirror import find as find_mirror
from bakery.store.store import Store
from provisioner.roles.site import settings
from tests.conftest import BIN, Ended, Folders, command, mounted
from tests.integration import repository
from tests.integration.bake.test_baked_site import site_store

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "site"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MONITOR = '#!/bin/sh\n[ "$1" != --version ] || echo "site-monitor 1"\n'
MIB = 1 << 20


@dataclass(frozen=True)
class Baked:
    """The example with a repository of the test; `bake` runs the command on it."""

    definition: Path
    cache: Path
    url: str
    result: dict[str, Any]

    def bake(self, *argv: str) -> Ended:
        return bake(self.definition, self.cache, self.url, *argv)


def bake(definition: Path, cache: Path, url: str, *argv: str) -> Ended:
    env = {"WORKER_BAKERY_CACHE": str(cache)}
    host = ("--engine", "chroot", "--json", "--repository-url", f"site={url}")
    return command("worker-bakery", "bake", str(definition), *host, *argv, env=env)


def copied(folder: Path, key: str) -> Path:
    """The example with the key of the test's repository, and the sources of this machine."""
    shutil.copytree(EXAMPLE, folder)
    (folder / "keys" / "site.asc").write_text(key)
    (folder / "sources" / "unstable.sources").write_text(
        f"Types: deb\nURIs: {find_mirror().main}\nSuites: sid\nComponents: main\n"
        f"Check-Valid-Until: no\nSigned-By: {KEYRING}\n"
    )
    definition = folder / "worker.toml"
    definition.write_text(re.sub("(?m)^fingerprint = .*\n", "", definition.read_text()))
    return definition


@pytest.fixture(scope="module")
def baked_example(baked: dict[str, Any], store: Store, folders: Folders) -> Iterator[Baked]:
    folder = folders("definition")
    (folder / "repository").mkdir()
    repository.package(
        folder / "repository", "site-monitor", "", {"usr/bin/site-monitor": (MONITOR, 0o755)}
    )
    key = repository.index(folder / "repository")
    definition, own = copied(folder / "site", key), site_store(store, folder / "cache")
    with repository.served(folder / "repository") as url:
        done = bake(definition, own.root, url)
        assert done.status == 0, done.err[-3000:]
        yield Baked(definition, own.root, url, json.loads(done.out))


@pytest.fixture(scope="module")
def root(baked_example: Baked, folders: Folders) -> Iterator[Path]:
    with mounted(Path(baked_example.result["path"]), folders("definition-image")) as where:
        yield where


def test_the_image_is_where_the_definition_says(baked_example: Baked) -> None:
    path = baked_example.definition.parent / "images" / "site-worker.qcow2"
    assert baked_example.result["path"] == str(path)
    assert qemu_img.virtual_size(path) >= 8192 * MIB
    assert list(baked_example.result["proof"]) == ["offline"]


def test_the_image_has_what_the_definition_says(root: Path) -> None:
    assert (root / "etc/motd").read_text().startswith("This is a worker of Example Site.\n")
    found = (root / "etc/site-monitor.conf").stat()
    monitor = next(
        row for row in (root / "etc/group").read_text().splitlines() if row.startswith("monitor:")
    )
    assert (found.st_mode & 0o7777, found.st_uid, str(found.st_gid)) == (0o640, 0, monitor.split(":")[2])
    assert (root / "etc/site-monitor.version").read_text() == "site-monitor 1\n"
    assert (root / "etc/site-base").read_text() == (root / "etc/debian_version").read_text()
    assert "\ntmux" in (root / "usr/share/site-packages").read_text()
    recorded = json.loads((root / settings.DEFINITION.lstrip("/")).read_text())
    assert (recorded["name"], recorded["version"]) == ("site-worker", "2026.11")
    keys = json.loads((root / settings.KEYS.lstrip("/")).read_text())["keys"]
    defaults = {key["key"]: key["default"] for key in keys}
    assert (defaults["CentralManager"], defaults["IdleTimeout"]) == ("cm.site.example.edu", "600")
    assert (
        "WORKER_GUARDS = TARGET.RequestMemory < 64000" in (root / settings.CONDOR.lstrip("/")).read_text()
    )


def test_the_second_bake_finds_it(baked_example: Baked) -> None:
    done = baked_example.bake()
    assert done.status == 0, done.err[-3000:]
    assert json.loads(done.out)["from_store"] is True


def test_a_change_of_a_file_bakes_from_a_checkpoint(baked_example: Baked) -> None:
    """--explain says which steps are affected, by the name of the file."""
    motd = baked_example.definition.read_text().replace("It has no local users.", "It has an operator.")
    baked_example.definition.write_text(motd)
    done = command(
        *("worker-bakery", "bake", str(baked_example.definition), "--explain"),
        env={"WORKER_BAKERY_CACHE": str(baked_example.cache)},
    )
    assert done.status == 0, done.err
    assert "write /etc/motd" in done.out


# --- the schema --------------------------------------------------------------------------------


def check_jsonschema(path: Path) -> subprocess.CompletedProcess[str]:
    schema = ROOT / "bakery" / "definition" / "definition.schema.json"
    argv = [str(BIN / "check-jsonschema"), "--schemafile", str(schema), str(path)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", sorted(EXAMPLE.glob("*.toml")), ids=lambda path: path.name)
def test_a_validator_of_toml_accepts_the_examples(path: Path) -> None:
    done = check_jsonschema(path)
    assert done.returncode == 0, done.stdout


def test_a_validator_of_toml_refuses_an_unknown_key(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('pakages = ["tmux"]\n')
    done = check_jsonschema(tmp_path / "bad.toml")
    assert done.returncode == 1
    assert "pakages" in done.stdout


def test_a_definition_needs_nothing_that_bakes(tmp_path: Path) -> None:
    (tmp_path / "worker.toml").write_text('base = "debian13"\n')
    env = {"WORKER_BAKERY_CACHE": str(tmp_path / "cache")}
    from_file = command("bake-image", str(tmp_path / "worker.toml"), "--dry-run", env=env)
    assert from_file.out == command("bake-image", "--dry-run", env=env).out
    assert from_file.status == 0
