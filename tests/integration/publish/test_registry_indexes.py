"""Debian's docker-registry: SBOMs that refer to an image, and one tag for two architectures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bakery.image import bases, recipe
from bakery.output.oci import config, layer, layout
from bakery.output.oci.config import About
from bakery.runtime import digest
from bakery.store.store import manifest_path
from provisioner.process import run
from tests.conftest import BASE, Folders
from tests.integration import docker_here, newer_skopeo, tool_environments
from tests.integration.publish.test_publish_registry import disk, outcome, publish, serving, tags

ORAS = ("oras==0.2.43",)  # the client of the project ORAS in Python
# Reads the index of what refers to a manifest, and saves the files of each artifact.
_READ = """
import json, sys, oras.client
registry, name, digest, folder = sys.argv[1:]
client = oras.client.OrasClient(hostname=registry, insecure=True)
index = ["application/vnd.oci.image.index.v1+json"]
found = client.get_manifest(f"{registry}/{name}:sha256-{digest}", allowed_media_type=index)
rows = []
for one in found["manifests"]:
    target = f"{registry}/{name}@{one['digest']}"
    subject = client.get_manifest(target)["subject"]["digest"]
    rows.append([one["artifactType"], subject, *client.pull(target=target, outdir=folder)])
print(json.dumps(rows))
"""


@pytest.fixture(scope="module")
def registry(folders: Folders) -> Iterator[str]:
    with serving(folders("registry")) as found:
        yield found


@pytest.fixture(scope="module")
def path() -> str:
    """PATH with a skopeo that writes the types of artifacts."""
    return f"{newer_skopeo.folder()}:{os.environ['PATH']}"


def with_packages(image: Path, baked: dict[str, Any]) -> Path:
    """A disk of tests whose manifest has the packages of a real one."""
    real = json.loads(manifest_path(Path(baked["path"])).read_text())
    manifest = image.with_suffix(".json")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "installed": real["installed"]}))
    return image


def read_back(registry: str, name: str, subject: str, folder: Path) -> list[list[str]]:
    python = tool_environments.environment("oras", ORAS) / "bin/python"
    done = run.call([str(python), "-c", _READ, registry, name, subject, str(folder)])
    rows: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return rows


def test_sboms_refer_to_the_image_and_oras_reads_them(
    registry: str, path: str, baked: dict[str, Any], tmp_path: Path
) -> None:
    name, image = "site/sbom", with_packages(disk(tmp_path, 1), baked)
    done = outcome(publish(registry, image, "--json", name=name, PATH=path))
    assert done["actions"][-2:] == ["attach the SBOM (CycloneDX)", "attach the SBOM (SPDX)"]
    subject = done["location"].rpartition(":")[2]
    rows = read_back(registry, name, subject, tmp_path)
    assert [row[:2] for row in rows] == [
        ["application/vnd.cyclonedx+json", f"sha256:{subject}"],
        ["application/spdx+json", f"sha256:{subject}"],
    ]
    bom, spdx = (json.loads(Path(row[2]).read_text()) for row in rows)
    assert "condor" in {part["name"] for part in bom["components"]}
    assert "condor" in {package["name"] for package in spdx["packages"]}
    assert outcome(publish(registry, image, "--json", name=name, PATH=path))["actions"] == []
    # They are deleted with their image.
    newer = with_packages(disk(tmp_path, 2), baked)
    done = outcome(publish(registry, newer, "--keep", "1", "--json", name=name, PATH=path))
    assert done["retired"] == [f"{1:012x}"]
    others = {f"{2:012x}", "latest", f"sha256-{done['location'].rpartition(':')[2]}"}
    assert tags(registry, name) == others


def container(folder: Path, architecture: str, text: str) -> Path:
    """A small container image with its manifest, as of a bake on a machine of this architecture."""
    root, work = folder / f"root-{text}", folder / f"work-{text}"
    root.mkdir()
    work.mkdir()
    (root / "text").write_text(text)
    made, plan = (
        layer.write(root, work, 1_700_000_000),
        recipe.plan(bases.find(BASE.name), "osg", boots=False),
    )
    about = About(architecture, 1_700_000_000)
    archive = folder / f"{text}.tar"
    layout.write_archive(layout.entries(config.config(plan, made, about), made, config.tag(plan)), archive)
    manifest = {
        "id": digest.of(archive), "kind": "osg", "base": BASE.name, "proof": {"offline": {}},
        "made": "2026-11-29T08:00:00+00:00", "sha256": digest.of(archive),
        "system": {
            "os": "debian", "version": "13", "release": "trixie", "family": "debian",
            "login": "debian", "firmware": [], "architecture": architecture,
        },
    }  # fmt: skip
    archive.with_suffix(".json").write_text(json.dumps(manifest))
    return archive


def platforms(registry: str, name: str) -> dict[str, str]:
    raw = run.call(["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{registry}/{name}"])
    return {one["platform"]["architecture"]: one["digest"] for one in json.loads(raw.stdout)["manifests"]}


def test_a_tag_names_both_architectures_and_docker_pulls_each(
    registry: str, tmp_path: Path, folders: Folders
) -> None:
    name = "site/both"
    amd, arm, newer = (
        container(tmp_path, architecture, text)
        for architecture, text in (("x86_64", "amd"), ("aarch64", "arm"), ("x86_64", "newer"))
    )
    done = {image: outcome(publish(registry, image, "--json", name=name)) for image in (amd, arm)}
    assert done[arm]["actions"][-1] == "let latest name the images of amd64, arm64"
    digests = {image: one["location"].partition("@")[2] for image, one in done.items()}
    assert platforms(registry, f"{name}:latest") == {"amd64": digests[amd], "arm64": digests[arm]}
    with docker_here.daemon(folders("docker-platforms")) as docker:
        for architecture, text in (("amd64", "amd"), ("arm64", "arm")):
            image = f"{registry}/{name}:latest"
            pulled = docker.call("pull", "-q", "--platform", f"linux/{architecture}", image)
            assert pulled.returncode == 0, pulled.stderr
            assert (
                docker.call("image", "inspect", "-f", "{{.Architecture}}", image).stdout.strip()
                == architecture
            )
            created = docker.call("create", "--platform", f"linux/{architecture}", image).stdout.strip()
            shown = docker.call("cp", f"{created}:/text", "-").stdout
            assert text in shown
            docker.call("rm", created)
    again = outcome(publish(registry, newer, "--json", name=name))
    found = platforms(registry, f"{name}:latest")
    assert found == {"amd64": again["location"].partition("@")[2], "arm64": digests[arm]}
    assert outcome(publish(registry, newer, "--json", name=name))["actions"] == []
