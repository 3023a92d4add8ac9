"""The files of a description: their digests, and what they do not contain."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from bakery.description import files, overview, packages
from bakery.description.read import Found
from bakery.store import retention, store
from bakery.store.store import Store, commit
from provisioner.errors import BadInput, WrongChecksum
from tests.unit.description.sample import APT, HOSTILE, installed, manifest


def described(folder: Path, name: str = "worker.qcow2") -> Path:
    image = folder / name
    image.write_bytes(b"abc")
    files.write(image, {**manifest(), "sha256": hashlib.sha256(b"abc").hexdigest()})
    return image


@pytest.mark.parametrize("name", ["worker.qcow2", "a b\n\\c.qcow2", "sité\u2028.tar", "v1.0", "a.raw"])
def test_digests_by_name(name: str, tmp_path: Path) -> None:
    image = described(tmp_path, name)
    sums = files.read_sums(store.description_path(image, files.SUMS))
    assert sums[name] == hashlib.sha256(b"abc").hexdigest()
    assert len(sums) == 5
    assert set(sums) | {store.description_path(image, files.SUMS).name} == {
        path.name for path in tmp_path.iterdir()
    }


def test_an_image_that_differs_from_its_manifest_gets_no_digests(tmp_path: Path) -> None:
    image = tmp_path / "worker.qcow2"
    image.write_bytes(b"abd")
    with pytest.raises(WrongChecksum, match="differs from its manifest"):
        files.write(image, {**manifest(), "sha256": hashlib.sha256(b"abc").hexdigest()})


def test_lines_that_are_no_digests(tmp_path: Path) -> None:
    (tmp_path / "sums").write_text("abc  file\n")
    with pytest.raises(BadInput, match="not one of sha256sum"):
        files.read_sums(tmp_path / "sums")


def test_an_oci_layout_has_the_digests_of_its_files(tmp_path: Path) -> None:
    layout = tmp_path / "worker"
    (layout / "blobs").mkdir(parents=True)
    (layout / "blobs/a").write_bytes(b"a")
    index = {"manifests": [{"digest": f"sha256:{'a' * 64}"}]}
    (layout / "index.json").write_text(json.dumps(index))
    files.write(layout, manifest())
    sums = files.read_sums(tmp_path / "worker.SHA256SUMS")
    assert {"worker/blobs/a", "worker/index.json", "worker.cdx.json"} < set(sums)
    [subject] = json.loads((tmp_path / "worker.provenance.json").read_text())["subject"]
    assert subject == {"name": "worker", "digest": {"sha256": "a" * 64}}
    (layout / "index.json").write_text("{}")
    with pytest.raises(BadInput, match="not an OCI layout"):
        files.write(layout, manifest())


def test_a_description_does_not_name_the_mirror(tmp_path: Path) -> None:
    described(tmp_path)
    for path in tmp_path.iterdir():
        assert b"mirror.site.example" not in path.read_bytes(), path
    published = json.loads((tmp_path / "worker.manifest.json").read_text())
    assert published["lock"]["repositories"] == [
        {"id": "debian trixie", "system": "apt", "priority": 500, "security": False, "expires": True}
    ]


def test_a_new_manifest_replaces_the_description_of_before(tmp_path: Path) -> None:
    """`bake -o` to the path of an image that was described and signed: nothing vouches for the old one."""
    image = described(tmp_path)
    store.description_path(image, ".SHA256SUMS.minisig").write_text("of before")
    image.write_bytes(b"abd")
    files.write_manifest(image, {**manifest(), "sha256": hashlib.sha256(b"abd").hexdigest()})
    names = {"worker.qcow2", "worker.manifest.json", "worker.SHA256SUMS"}
    assert {path.name for path in tmp_path.iterdir()} == names
    sums = files.read_sums(store.description_path(image, files.SUMS))
    assert set(sums) == names - {"worker.SHA256SUMS"}
    assert sums["worker.qcow2"] == hashlib.sha256(b"abd").hexdigest()


def test_a_copy_is_found_with_its_manifest(tmp_path: Path) -> None:
    image = described(tmp_path)
    found = store.image_manifest(image)
    assert found
    assert found["kind"] == "osg"
    # A file of the user with the name of a manifest of the cache is not one.
    (tmp_path / "worker.json").write_text('{"images": []}')
    assert store.image_manifest(image) == found


def test_the_cache_keeps_and_removes_a_description_with_its_image(tmp_path: Path) -> None:
    cache, image = Store(tmp_path / "cache"), tmp_path / "cache/images/osg-debian13-1.qcow2"
    (tmp_path / "disk").write_bytes(b"abc")
    commit(tmp_path / "disk", image, {**manifest(), "sha256": hashlib.sha256(b"abc").hexdigest()})
    files.write(image, store.read_manifest(image) or {})
    for path in image.parent.iterdir():  # as old as a stray file must be
        os.utime(path, (1, 1))
    [entry] = retention.entries(cache)
    assert (entry.kind, entry.useless) == ("image", False)
    image.rename(tmp_path / "elsewhere")
    assert {entry.kind for entry in retention.entries(cache)} == {"damaged"}
    (tmp_path / "elsewhere").rename(image)
    assert retention.remove(entry)
    assert list(image.parent.iterdir()) == []


def test_what_an_sbom_lacks_is_said() -> None:
    """The manifest of an earlier version has a lock at most."""
    made = manifest()
    assert packages.gap(made) == ""
    old = {key: value for key, value in made.items() if key != "installed"}
    assert packages.gap(old).startswith("The SBOM of the image states no licenses: an earlier version")
    assert packages.gap({**made, "installed": packages.to_json(installed(APT[:-4]))}) == packages.gap(old)
    assert packages.gap({}).startswith("The SBOM of the image has no packages")


def test_an_overview_of_hostile_packages_is_printable() -> None:
    about = overview.data(Found(Path("/nowhere/wo\x1brker.qcow2"), manifest(HOSTILE), True))
    text = "".join(overview.lines(about))
    assert text.isprintable()
    assert "wo\\x1brker.qcow2" in text
