"""One network, pool, image and Docker daemon for all tests of containers, which are one lane of xdist."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.network import Network, isolated
from bakery.output.oci.root import open_archive
from bakery.verify.pool import throwaway_pool as pools
from bakery.verify.pool.throwaway_pool import Pool
from provisioner.process import run
from tests.conftest import Folders, command
from tests.integration import docker_here
from tests.integration.docker.containers import IMAGE, Life, asked_for, side_by_side, write_token
from tests.integration.docker_here import Docker, Host


@pytest.fixture(scope="session")
def archive(baked: dict[str, Any]) -> Path:
    """The image of a PROMINENCE worker; `baked` sees to it that the store has the base."""
    done = command("bake-image", "--worker", "prominence", "--format", "oci", "--json")
    assert done.status == 0, done.err[-3000:]
    return Path(json.loads(done.out)["path"])


@pytest.fixture(scope="session")
def network(root_only: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with isolated(tmp_path_factory.mktemp("network")) as made:
        yield made


@pytest.fixture(scope="session")
def image_root(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The files of the image, in memory: removing them from a disk that others use took half a minute."""
    folder = tmp_path_factory.mktemp("image")
    run.call(["mount", "-t", "tmpfs", "tmpfs", str(folder)])
    try:
        (folder / "work").mkdir()
        open_archive(archive, folder / "work", folder / "root")
        shutil.rmtree(folder / "work")
        yield folder / "root"
    finally:
        run.call(["umount", str(folder)])


@pytest.fixture(scope="session")
def pool(network: Network, image_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with pools.start_in_sandbox(image_root, tmp_path_factory.mktemp("pool"), network) as up:
        yield up


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the folders /var/log and /opt of the documented line are here."""
    folder = tmp_path_factory.mktemp("machine")
    for name in ("log", "opt"):
        (folder / name).mkdir()
    return folder


@pytest.fixture(scope="session")
def docker(
    archive: Path, network: Network, machine: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Docker]:
    """A daemon on the network of the pool, with the image under the name that the document has."""
    folder = tmp_path_factory.mktemp("docker")
    host = Host(network, {"/var/log": machine / "log", "/opt": machine / "opt"})
    with docker_here.daemon(folder, host) as up:
        load(up, archive, IMAGE)
        yield up
    run.call(["rm", "-rf", "--one-file-system", str(folder)])


def load(docker: Docker, archive: Path, name: str) -> None:
    """As `docker load` has it, and under another name."""
    loaded = docker.call("load", "-i", str(archive))
    assert loaded.returncode == 0, loaded.stderr
    assert docker.call("tag", loaded.stdout.split()[-1], name).returncode == 0


@pytest.fixture(scope="module")
def lived(
    docker: Docker, pool: Pool, folders: Folders, request: pytest.FixtureRequest
) -> Iterator[dict[str, Future[None]]]:
    """Those of the LIVES of a test file that are asked for, some at the same time."""
    lives: Mapping[str, Life] = request.module.LIVES
    wanted = {name: lives[name] for name in asked_for(request, lives)}
    with side_by_side(wanted, docker, pool, folders) as found:
        yield found


@pytest.fixture
def token(pool: Pool, tmp_path: Path) -> Path:
    path = tmp_path / "token.jwt"
    write_token(path, pool)
    return path
