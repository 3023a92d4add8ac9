"""A worker for another processor: baked by emulation, published under one tag with ours, run by Docker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.network import Network
from bakery.verify.pool.throwaway_pool import Pool
from tests.conftest import Folders, command
from tests.integration import arm64
from tests.integration.docker.containers import CLOUD, mounted, started, variables, wait_job, wait_joined
from tests.integration.docker.test_docker_registry import served_on
from tests.integration.docker_here import Docker
from tests.integration.publish.test_publish_registry import outcome, publish, serving

pytestmark = pytest.mark.full
PLATFORMS = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}


@pytest.fixture(scope="module", autouse=True)
def emulator(root_only: None) -> Iterator[None]:
    with arm64.emulator():
        yield


@pytest.fixture(scope="module")
def baked_arm64(emulator: None, folders: Folders) -> dict[str, Any]:
    """What bake-image says of the image."""
    base = arm64.base(folders("arm64"))
    options = ("--base", str(base), "--worker", "prominence", "--format", "oci")
    done = command(
        "bake-image", *options, "--json", env={"WORKER_BAKERY_CACHE": str(base.parent / "cache")}
    )
    assert done.status == 0, done.err[-6000:]
    assert "this machine is x86_64: programs of the image are emulated" in done.err
    return dict(json.loads(done.out))


def test_one_tag_has_the_workers_of_two_architectures(
    archive: Path,
    baked_arm64: dict[str, Any],
    folders: Folders,
    docker: Docker,
    network: Network,
    pool: Pool,
    token: Path,
) -> None:
    folder = folders("registry")
    with serving(folder) as registry:
        name = f"{registry}/site/worker:both"
        for image in (archive, baked_arm64["path"]):
            done = outcome(publish(registry, image, "--json", name="site/worker:both"))
    assert done
    with served_on(network, folder, docker, name):
        for platform, machine in PLATFORMS.items():
            of_platform = ("--platform", platform)
            assert docker.call("pull", *of_platform, name).returncode == 0
            run = docker.call("run", "--rm", *of_platform, "--entrypoint", "uname", name, "-m")
            assert run.stdout.strip() == machine, run.stderr
        options = ("--platform", "linux/arm64", *mounted(token), "--hostname", "arm64")
        with started(docker, *options, image=name, env=variables("arm64")) as container:
            wait_joined(container, pool, "arm64")
            assert pool.slot_attributes("arm64", "Arch", name_attribute=CLOUD) == ['"aarch64"']
            where = {"requirements": f'TARGET.{CLOUD} == "arm64" && TARGET.Arch == "aarch64"'}
            job = pool.submit("arm64", "", "#!/bin/sh\nuname -m\n", where)
            wait_job(pool, container, job)
            assert pool.output("arm64") == "aarch64\n"
            assert container.stop(100) == 0
