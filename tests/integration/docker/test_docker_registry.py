"""An image that `publish` has put into Debian's docker-registry, started by its tag and by its digest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.network import Network
from bakery.runtime.conditions import Condition, wait
from bakery.verify.pool.throwaway_pool import Pool
from provisioner.process import run
from tests.conftest import Folders, command
from tests.integration.docker.containers import started, wait_idle_end
from tests.integration.docker.test_docker_osg import (
    LOOK,
    NETWORK,
    PROJECT,
    SECRET,
    as_secret,
    only,
    variables,
    wait_job,
    wait_joined,
)
from tests.integration.docker_here import Docker
from tests.integration.publish.test_publish_registry import outcome, publish, serving


@pytest.fixture(scope="module")
def published(folders: Folders) -> tuple[Path, dict[str, Any]]:
    """The folder of a registry, and what `publish` says of the image of an OSG worker in it."""
    made = command("bake-image", "--worker", "osg", "--format", "oci", "--json")
    assert made.status == 0, made.err[-3000:]
    folder = folders("registry")
    with serving(folder) as registry:
        return folder, outcome(publish(registry, json.loads(made.out)["path"], "--json"))


@contextmanager
def served_on(network: Network, folder: Path, docker: Docker, image: str) -> Iterator[None]:
    """The same registry at the same address on the network of the daemon."""
    argv = network.argv(["docker-registry", "serve", str(folder / "config.yml")])
    with run.background(argv, log=folder / "log", cwd=folder):
        wait(Condition("docker pull works", lambda: docker.call("pull", image).returncode == 0, 120))
        yield


# test_docker_osg.py has a container's life; the registry adds a bake's time.
@pytest.mark.full
def test_started_by_tag_and_by_digest(
    docker: Docker, network: Network, pool: Pool, published: tuple[Path, dict[str, Any]], token: Path
) -> None:
    (folder, done), secret = published, as_secret(token)
    name, _, digest = done["location"].partition("@")
    with served_on(network, folder, docker, f"{name}:latest"):
        for number, image in enumerate((f"{name}:latest", done["location"])):
            found = json.loads(docker.call("image", "inspect", image).stdout)[0] if number == 0 else {}
            assert number or found["RepoDigests"] == [f"{name}@{digest}"]
            group = f"From The Registry {number}"
            env = variables(group, OSG_WORKER_TOKEN_FILE=SECRET)
            with started(docker, *NETWORK, *secret, image=image, env=env) as container:
                wait_joined(pool, container, group)
                job = pool.submit(f"docker-registry-{number}", PROJECT, LOOK, only(group))
                wait_job(pool, container, job)
                wait_idle_end(container)
            # So that the next one is pulled.
            assert docker.call("image", "rm", "--force", image).returncode == 0
