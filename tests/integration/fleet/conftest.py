"""One control plane and one pool, on one network, for all tests of this folder.

Each takes a minute to start. Tests have groups of their own, and leave no servers.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bakery.machines.network import Network, isolated
from bakery.verify.pool import throwaway_pool
from bakery.verify.pool.throwaway_pool import Pool
from tests.integration.control_plane import plane as planes
from tests.integration.control_plane.plane import Plane


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with isolated(tmp_path_factory.mktemp("network")) as made:
        yield made


@pytest.fixture(scope="session")
def pool(network: Network, image_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    with throwaway_pool.start_in_sandbox(image_root, tmp_path_factory.mktemp("pool"), network) as up:
        yield up


@pytest.fixture(scope="session")
def plane(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    folder = tmp_path_factory.mktemp("plane")
    with planes.running(folder, network) as up:
        yield up
    shutil.rmtree(folder, ignore_errors=True)  # databases of gibibytes, which pytest would keep


# What a test or an engine like TARDIS has left, a launch that it had just begun among it.
_EMPTY = """
nova = connect("admin").compute
left = list(nova.servers(details=False, all_projects=True))
for server in left:
    nova.delete_server(server)
for server in left:
    nova.wait_for_delete(server, interval=1, wait=240)
nova = connect("site").compute
for group in nova.server_groups():
    nova.delete_server_group(group)
"""


@pytest.fixture(autouse=True)
def emptied(request: pytest.FixtureRequest) -> Iterator[None]:
    """No test sees servers or server groups of another one."""
    yield
    if "plane" in request.fixturenames:
        plane: Plane = request.getfixturevalue("plane")
        plane.python(_EMPTY)


@pytest.fixture
def token(pool: Pool, tmp_path: Path) -> Path:
    """A worker's token of the pool, in a file."""
    file = tmp_path / "token"
    file.write_text(pool.worker_token())
    file.chmod(0o600)
    return file
