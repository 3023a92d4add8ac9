"""The description of a baked image: against its package database, and by the programs of others."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.conftest import BIN, command


@pytest.fixture(scope="module")
def copied(baked: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default image as `bake -o` writes it, and then its description."""
    image = tmp_path_factory.mktemp("described") / "worker.qcow2"
    done = command("bake-image", "--verify", "offline", "--checkpoints", "all", "-o", str(image))
    assert done.status == 0, done.err[-3000:]
    beside = {"worker.qcow2", "worker.manifest.json"}
    assert checked_by_sha256sum(image) == beside
    assert {path.name for path in image.parent.iterdir()} == beside | {"worker.SHA256SUMS"}
    # Of an image that the cache has from an earlier version, describe reads the packages from the image.
    done = command("worker-bakery", "describe", str(image), "--write", str(image.parent))
    assert done.status == 0, done.err
    return image


def checked_by_sha256sum(image: Path) -> set[str]:
    """The names in the digests, each of which is right."""
    argv = ["sha256sum", "--strict", "-c", "worker.SHA256SUMS"]
    done = subprocess.run(argv, cwd=image.parent, capture_output=True, text=True, check=True)
    return {line.partition(":")[0] for line in done.stdout.splitlines()}


def test_the_files_of_a_description(copied: Path) -> None:
    names = {"worker.qcow2", "worker.manifest.json", "worker.cdx.json", "worker.spdx.json"}
    assert {path.name for path in copied.parent.iterdir()} >= names | {"worker.SHA256SUMS"}
    assert checked_by_sha256sum(copied) >= names


def installed_in(root: Path) -> set[tuple[str, str, str]]:
    """What dpkg itself says."""
    shown = "${db:Status-Abbrev} ${Package} ${Architecture} ${Version}\n"
    database = f"--admindir={root}/var/lib/dpkg"
    done = subprocess.run(
        ["dpkg-query", database, "-W", "-f", shown], capture_output=True, text=True, check=True
    )
    rows = (line.split() for line in done.stdout.splitlines())
    return {(name, architecture, version) for status, name, architecture, version in rows if status == "ii"}


def test_the_sbom_has_exactly_the_packages_of_dpkg(copied: Path, image_root: Path) -> None:
    text = copied.with_name("worker.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    expected = {(name, version) for name, _, version in installed_in(image_root)}
    parts = [one for one in json.loads(text)["components"] if one["type"] == "library"]
    assert {(one["name"], one["version"]) for one in parts} == expected
    assert all(one["purl"].startswith("pkg:deb/debian/") for one in parts)
    packages = json.loads(copied.with_name("worker.spdx.json").read_text())["packages"]
    assert {(one["name"], one["versionInfo"]) for one in packages} > expected
    licensed = [one for one in parts if one.get("licenses")]
    assert len(licensed) > len(parts) / 2


def validated_by_spdx_tools(sbom: Path) -> int:
    argv = [str(BIN / "pyspdxtools"), "--version", "SPDX-2.3", "-i", str(sbom)]
    return subprocess.run(argv, capture_output=True, check=False).returncode


def test_the_program_of_spdx_accepts_the_sbom(copied: Path, tmp_path: Path) -> None:
    sbom = copied.with_name("worker.spdx.json")
    assert validated_by_spdx_tools(sbom) == 0
    broken = json.loads(sbom.read_text())
    broken["relationships"][0]["relatedSpdxElement"] = "SPDXRef-missing"
    (tmp_path / "broken.spdx.json").write_text(json.dumps(broken))
    assert validated_by_spdx_tools(tmp_path / "broken.spdx.json") == 1


def test_describe_says_what_the_image_is(copied: Path, image_root: Path) -> None:
    done = command("worker-bakery", "describe", "--json", str(copied))
    assert done.status == 0, done.err
    about = json.loads(done.out)
    assert (about["kind"], about["base"], about["packages"]["system"]) == ("osg", "debian13", "dpkg")
    assert f"{about['image_id']}-{about['image_version']}" == f"osg-debian13-{about['id'][:12]}"
    assert about["packages"]["count"] == len(installed_in(image_root))
    assert "offline" in about["proof"]
    for_people = command("worker-bakery", "describe", str(copied))
    assert f"{about['packages']['count']} (dpkg)" in for_people.out
    assert "image tests on the mounted root" in for_people.out
    assert f"image         osg-debian13 {about['id'][:12]}\n" in for_people.out


def test_an_image_without_a_manifest_is_read(copied: Path, tmp_path: Path, image_root: Path) -> None:
    """The packages, licenses included, are those that the bake has recorded."""
    disk = tmp_path / "disk.qcow2"
    shutil.copyfile(copied, disk)
    done = command("worker-bakery", "describe", str(disk), "--write", str(tmp_path), "--json")
    assert done.status == 0, done.err
    recorded = json.loads(copied.with_name("worker.manifest.json").read_text())["installed"]
    assert json.loads((tmp_path / "disk.manifest.json").read_text())["installed"] == recorded


def test_an_image_of_an_earlier_version_has_no_licenses_and_that_is_said(
    copied: Path, tmp_path: Path
) -> None:
    """Its manifest has the packages of the lock only; describe reads the others from the disk."""
    old, cache = tmp_path / "old.qcow2", {"WORKER_BAKERY_CACHE": str(tmp_path / "cache")}
    os.link(copied, old)
    manifest = json.loads(copied.with_name("worker.manifest.json").read_text())
    del manifest["installed"]
    old.with_suffix(".json").write_text(json.dumps(manifest))
    target = f"file://{tmp_path / 'catalogue'}"
    argv = ("publish", str(old), "--to", target, "--require-proof", "offline", "--dry-run")
    done = command("worker-bakery", *argv, env=cache)
    assert done.status == 0, done.err
    assert "The SBOM of the image states no licenses: an earlier version" in done.err
    done = command("worker-bakery", "describe", str(old), "--json", env=cache)
    assert (done.status, "no licenses" in done.err) == (0, False), done.err
    assert json.loads(done.out)["packages"]["licensed"] > 100
    # The same container can only be baked again.
    container = tmp_path / "old.tar"
    container.write_bytes(b"")
    manifest["sha256"] = hashlib.sha256(b"").hexdigest()
    container.with_suffix(".json").write_text(json.dumps(manifest))
    done = command("worker-bakery", "describe", str(container), env=cache)
    assert (done.status, "states no licenses" in done.err) == (0, True), done.err


def test_a_changed_image_is_refused(copied: Path, tmp_path: Path) -> None:
    changed = tmp_path / "worker.qcow2"
    shutil.copyfile(copied, changed)
    shutil.copyfile(copied.with_name("worker.manifest.json"), tmp_path / "worker.manifest.json")
    with changed.open("r+b") as data:
        data.seek(100_000)
        byte = data.read(1)[0]
        data.seek(100_000)
        data.write(bytes([byte ^ 1]))
    done = command("worker-bakery", "describe", str(changed))
    assert done.status == 7
    assert "differs from its manifest" in done.err
