"""The image in Debian's docker-registry: published, pulled by tag and by digest, started, joined."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakery.machines.network import Network
from bakery.runtime.conditions import Condition, wait
from bakery.verify.pool.throwaway_pool import Pool
from provisioner.process import run
from tests.conftest import Ended, command
from tests.integration.docker.containers import mounted, started, variables, wait_joined
from tests.integration.docker.programs import unpacked
from tests.integration.docker_here import Docker

ADDRESS = "127.0.0.1:5000"  # of the network of the tests
NAME = f"{ADDRESS}/site/worker"
CONFIG = """\
version: 0.1
storage:
  filesystem: {{rootdirectory: {folder}/data}}
http: {{addr: "{address}"}}
"""


@pytest.fixture(scope="module")
def registry(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """On the network of the daemon, which takes a registry of its loopback without TLS."""
    if shutil.which("skopeo") is None:
        run.call(["apt-get", "install", "-y", "-q", "--no-install-recommends", "skopeo"])
    folder = tmp_path_factory.mktemp("registry")
    (folder / "config.yml").write_text(CONFIG.format(folder=folder, address=ADDRESS))
    program = unpacked("bookworm", ("docker-registry",)) / "usr/bin/docker-registry"
    argv = network.argv([str(program), "serve", str(folder / "config.yml")])

    def answers() -> bool:
        return run.call(network.argv(["ss", "-Hltn", "sport = :5000"])).stdout.strip() != ""

    with run.background(argv, log=folder / "log", cwd=folder):
        wait(Condition("the registry listens", answers, 60))
        yield


def here(network: Network, *argv: str) -> str:
    return run.call(network.argv(argv)).stdout


@pytest.fixture(scope="module")
def published(registry: None, network: Network, archive: Path) -> dict[str, Any]:
    argv = ("publish", str(archive), "--to", f"oci://{NAME}", "--require-proof", "offline", "--json")
    done: Ended = command("worker-bakery", *argv, prefix=network.argv([]))
    assert done.status == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    assert found["uploaded"]
    again = command("worker-bakery", *argv, prefix=network.argv([]))
    assert json.loads(again.out)["actions"] == [], again.err
    return found


def test_it_is_pulled_by_tag_and_by_digest_and_joins(
    published: dict[str, Any], docker: Docker, pool: Pool, token: Path
) -> None:
    by_digest = published["location"]
    for reference in (f"{NAME}:latest", by_digest):
        done = docker.call("pull", reference)
        assert done.returncode == 0, done.stderr
    ids = {
        docker.call("image", "inspect", "-f", "{{.Id}}", one).stdout
        for one in (f"{NAME}:latest", by_digest)
    }
    assert len(ids) == 1
    for reference, cloud in ((f"{NAME}:latest", "by-tag"), (by_digest, "by-digest")):
        with started(docker, *mounted(token), image=reference, env=variables(cloud)) as container:
            wait_joined(container, pool, cloud)


def test_its_sboms_refer_to_it(
    published: dict[str, Any], network: Network, archive: Path, tmp_path: Path
) -> None:
    digest = published["location"].partition("@")[2]
    index = json.loads(here(network, "skopeo", "inspect", "--raw", "--tls-verify=false",
                            f"docker://{NAME}:{digest.replace(':', '-')}"))  # fmt: skip
    described = tmp_path / "described"
    described.mkdir()
    done = command("worker-bakery", "describe", str(archive), "--write", str(described))
    assert done.status == 0, done.err
    found = {}
    for row in index["manifests"]:
        folder = tmp_path / row["digest"].partition(":")[2][:8]
        source = f"docker://{NAME}@{row['digest']}"
        here(network, "skopeo", "copy", "-q", "--src-tls-verify=false", source, f"dir:{folder}")
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["subject"]["digest"] == digest
        [layer] = manifest["layers"]
        found[row["artifactType"]] = (folder / layer["digest"].partition(":")[2]).read_text()
    name = archive.stem
    assert found == {
        "application/vnd.cyclonedx+json": (described / f"{name}.cdx.json").read_text(),
        "application/spdx+json": (described / f"{name}.spdx.json").read_text(),
    }
