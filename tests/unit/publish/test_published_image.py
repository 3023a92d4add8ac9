"""The image to publish: its manifest and its proof."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bakery.image import bases, system
from bakery.publish import image as images
from bakery.store.store import Store
from provisioner.errors import BadInput, NotProven, WrongChecksum
from provisioner.events import Silent

CONTENT = b"a disk"


def manifest(**more: Any) -> dict[str, Any]:
    digest = sha256(CONTENT).hexdigest()
    known = {"id": "ab" * 32, "kind": "osg", "base": "debian13", "sha256": digest, "proof": {"offline": {}}}
    return {**known, **more}


def written(folder: Path, **more: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    disk = folder / "worker.qcow2"
    disk.write_bytes(CONTENT)
    disk.with_suffix(".json").write_text(json.dumps(manifest(**more)))
    return disk


def find(disk: Path, store: Path, name: str = "") -> images.Image:
    return images.find(str(disk), Store(store), name, Silent())


def test_an_image_with_its_manifest(tmp_path: Path) -> None:
    found = find(written(tmp_path), tmp_path / "none")
    assert (found.name, found.format, found.levels) == ("osg-debian13", "qcow2", ("offline",))
    assert (found.system.os, found.system.version, found.system.architecture) == ("debian", "13", "x86_64")


def test_a_copy_without_manifest_has_that_of_the_cache(tmp_path: Path) -> None:
    written(tmp_path / "cache" / "images")
    copy = tmp_path / "copy.qcow2"
    copy.write_bytes(CONTENT)
    assert find(copy, tmp_path / "cache", "mine").name == "mine"


def test_an_unknown_image_has_no_proof(tmp_path: Path) -> None:
    disk = written(tmp_path)
    disk.with_suffix(".json").unlink()
    with pytest.raises(NotProven, match="no manifest"):
        find(disk, tmp_path / "cache")


def test_a_manifest_of_another_content_is_no_proof(tmp_path: Path) -> None:
    disk = written(tmp_path)
    disk.write_bytes(CONTENT + b"!")
    with pytest.raises(WrongChecksum, match="the manifest beside it is for"):
        find(disk, tmp_path / "cache")


def test_a_copy_with_the_manifest_of_bake_o_beside_it(tmp_path: Path) -> None:
    disk = written(tmp_path)
    disk.with_suffix(".json").rename(tmp_path / "worker.manifest.json")
    assert find(disk, tmp_path / "cache").levels == ("offline",)
    disk.write_bytes(CONTENT + b"!")
    with pytest.raises(WrongChecksum, match="the manifest beside it is for"):
        find(disk, tmp_path / "cache")


def test_the_level_is_required_by_its_name(tmp_path: Path) -> None:
    found = find(written(tmp_path, proof={"offline": {}, "boot": {}, "pool": {}}), tmp_path / "cache")
    assert images.default_level(found) == "clone"
    with pytest.raises(NotProven, match=r"only to pool.*requires clone.*--verify clone"):
        images.require_proof(found, "clone")
    images.require_proof(found, "pool")
    images.require_proof(found, "none")


def test_what_the_image_says_of_its_system_counts_before_its_base(tmp_path: Path) -> None:
    recorded = {**system.of(bases.find("debian13")), "version": ""}
    release = {"ID": "debian", "VERSION_ID": "13.2"}
    found = find(
        written(tmp_path, base="osg-debian13", system=recorded, os_release=release), tmp_path / "cache"
    )
    assert found.system.version == "13.2"
    with pytest.raises(BadInput, match="which system"):
        find(written(tmp_path, base="osg-debian13"), tmp_path / "cache")


@pytest.mark.parametrize(
    ("name", "os", "version"),
    [
        ("debian13-cloud", "debian", "13"),
        ("ubuntu24.04", "ubuntu", "24.04"),
        ("centos-stream9", "centos", "9"),
        ("rocky8", "rocky", "8"),
    ],
)
def test_the_system_of_a_base(name: str, os: str, version: str) -> None:
    found = system.of(bases.find(name))
    assert (found["os"], found["version"]) == (os, version)


def test_a_name_that_no_target_accepts(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--name"):
        find(written(tmp_path), tmp_path / "cache", "../x")


def test_a_name_with_spaces_is_not_one_of_a_file(tmp_path: Path) -> None:
    found = find(written(tmp_path), tmp_path / "cache", "OSG Cloud Worker")
    assert found.name == "OSG Cloud Worker"
    with pytest.raises(BadInput, match="only an image in OpenStack can have spaces"):
        images.require_file_name(found)
    with pytest.raises(BadInput, match="--name"):
        find(written(tmp_path), tmp_path / "cache", "worker ")
